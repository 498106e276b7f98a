"""However many retrainings wait, a tick costs a few reads, and no end goes unseen."""

from datetime import timedelta

from anew.adapters.ledger import SqlLedger
from anew.adapters.memory.azure import Ending
from anew.core.retrainings.lifecycle import Retraining, RetrainingState
from anew.engine.base.ports import RunStatus
from anew.engine.decisions.decide_pending import decide_pending
from anew.engine.retrainings.polling import POLLS, poll_open
from anew.errors import LedgerUnavailable
from tests.builders import PIPELINE, Play, drift_event, policy

READS = {"jobs.get", "launcher.view", "jobs.ended", "launcher.ended", "launcher.find"}


def waiting(count: int, play: Play | None = None) -> Play:
    """So many trainings run; none ends by itself."""
    play = (play or Play()).with_policies(*(policy(f"m{n}", monitors=[f"m{n}"]) for n in range(count)))
    play.azure.endings[PIPELINE] = Ending(RunStatus.RUNNING)
    play.receive(*(drift_event(f"run-{n}", monitor=f"m{n}") for n in range(count)))
    decide_pending(play.engine, play.now)
    return play


def state_of(play: Play, retraining: Retraining) -> RetrainingState:
    """Its state now."""
    known = play.ledger.retraining(retraining.id)
    assert known is not None
    return known.state


def reads(play: Play, before: int) -> int:
    return sum(call in READS for call in play.azure.calls[before:])


def test_tick_between_polls_costs_two_reads() -> None:
    """Between polls a tick costs two requests, however many retrainings wait."""
    play = waiting(100)
    play.now += timedelta(hours=1)
    poll_open(play.engine, play.now)
    before = len(play.azure.calls)

    play.now += timedelta(seconds=30)
    poll_open(play.engine, play.now)

    assert reads(play, before) == 2


def test_polls_grow_rare_with_age() -> None:
    """The longer a retraining waits, the less often it is polled."""
    play = waiting(50)
    costs: list[int] = []
    for _ in range(6):
        before = len(play.azure.calls)
        for _ in range(60):
            play.now += timedelta(minutes=1)
            poll_open(play.engine, play.now)
        costs.append(reads(play, before) - 120)

    assert costs[0] > 2 * costs[-1]
    assert costs[-1] <= 50 * 60 / 10, "about every quarter of an hour each"


def test_ended_run_is_seen_at_once() -> None:
    """The next tick sees a run that ended without polling the others."""
    play = waiting(100)
    play.now += timedelta(hours=2)
    poll_open(play.engine, play.now)
    ended = play.ledger.retrainings()[42]
    play.azure.jobs[ended.job_name].status = RunStatus.COMPLETED
    before = len(play.azure.calls)

    play.now += timedelta(seconds=15)
    report = poll_open(play.engine, play.now)

    assert [item.id for item in report.retrainings] == [ended.id]
    assert report.retrainings[0].state is not RetrainingState.TRAINING
    assert reads(play, before) < 10


def test_poll_sees_unlisted_end() -> None:
    """A run that no list shows as ended is seen by its poll."""
    play = waiting(20)
    play.azure.reports_ends = False
    ended = play.ledger.retrainings()[7]
    play.azure.jobs[ended.job_name].status = RunStatus.FAILED

    for _ in range(20):
        play.now += timedelta(minutes=1)
        poll_open(play.engine, play.now)

    assert state_of(play, ended) is RetrainingState.FAILED


def test_failed_list_keeps_the_watermark() -> None:
    """After a failure the same time is asked for again."""
    play = waiting(3)
    play.azure.down.add("launcher.ended")
    play.now += timedelta(hours=3)

    report = poll_open(play.engine, play.now)

    assert any("runs that ended lately" in problem for problem in report.problems)
    assert play.ledger.watermark("reconcile.ended") is None


def test_failed_launcher_stops_no_other_source() -> None:
    """A source that fails does not stop the others."""
    play = waiting(100)
    play.now += timedelta(hours=2)
    poll_open(play.engine, play.now)
    ended = play.ledger.retrainings()[42]
    play.azure.jobs[ended.job_name].status = RunStatus.FAILED
    play.azure.down.add("launcher.ended")
    before = len(play.azure.calls)

    play.now += timedelta(seconds=15)
    report = poll_open(play.engine, play.now)

    assert [item.id for item in report.retrainings] == [ended.id]
    assert reads(play, before) < 10


def test_outage_ends_advancing_ended_runs() -> None:
    """While Azure is away, not every ended run is asked for."""
    play = waiting(100)
    for job in play.azure.jobs.values():
        job.status = RunStatus.COMPLETED
    play.now += timedelta(seconds=1)
    play.azure.down |= {"jobs.get", "launcher.view"}
    before = len(play.azure.calls)

    poll_open(play.engine, play.now)

    assert reads(play, before) < 10


def test_unreadable_ended_runs_delay_no_others() -> None:
    """Ended runs that cannot be read delay no other ended run."""
    play = waiting(10)
    *unreadable, ended = play.ledger.retrainings()
    play.azure.unreadable |= {item.job_name for item in unreadable}
    for job in play.azure.jobs.values():
        job.status = RunStatus.FAILED
    play.ledger.take_tokens("polls", POLLS.burst, POLLS, play.now + timedelta(days=1))

    for _ in range(40):
        play.now += timedelta(seconds=1)
        poll_open(play.engine, play.now)

    assert state_of(play, ended) is RetrainingState.FAILED


def test_outage_ends_polling() -> None:
    """While Azure is away, not every due run is polled."""
    play = waiting(100)
    play.now += timedelta(minutes=5)
    play.azure.down |= {"jobs.get", "launcher.view"}
    before = len(play.azure.calls)

    poll_open(play.engine, play.now)

    assert reads(play, before) < 10


def test_unreadable_runs_delay_no_polls() -> None:
    """Runs that cannot be read delay no poll of the others."""
    play = waiting(10)
    play.azure.reports_ends = False
    *broken, ended = play.ledger.retrainings()
    play.azure.unreadable |= {item.job_name for item in broken}
    play.azure.jobs[ended.job_name].status = RunStatus.FAILED

    for _ in range(20):
        play.now += timedelta(minutes=1)
        poll_open(play.engine, play.now)

    assert state_of(play, ended) is RetrainingState.FAILED


def test_polls_keep_to_their_quota() -> None:
    """A pass polls no more than its quota allows, and polls the others next."""
    play = waiting(30)
    play.now += timedelta(hours=1)
    play.ledger.take_tokens("polls", POLLS.burst - 10, POLLS, play.now)

    report = poll_open(play.engine, play.now)

    assert len(report.retrainings) == 10
    play.now += timedelta(seconds=11)
    assert len(poll_open(play.engine, play.now).retrainings) == 20, "the others are polled first, and soon"


class Busy(SqlLedger):
    """A ledger that refuses to count while it is busy."""

    busy = False

    def count_open_retrainings(self) -> int:
        if self.busy:
            raise LedgerUnavailable("busy, on request")
        return super().count_open_retrainings()


def test_busy_ledger_stops_no_polls() -> None:
    """A ledger that fails for a moment does not stop the polls that are due."""
    ledger = Busy.in_memory()
    play = waiting(3, Play(ledger=ledger))
    play.now += timedelta(minutes=5)
    ledger.busy = True

    report = poll_open(play.engine, play.now)

    assert len(report.retrainings) == 3
    assert any("busy" in problem for problem in report.problems)
