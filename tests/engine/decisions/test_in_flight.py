"""What new drift does while a retraining of the model is under way, by the policy's word."""

from datetime import timedelta

from anew.adapters.memory.azure import Ending
from anew.core.decisions.decision import Outcome
from anew.core.retrainings.lifecycle import OPEN_RETRAINING, RetrainingState, StopCause
from anew.engine.base.ports import RunStatus
from anew.engine.decisions.decide_pending import decide_pending
from tests.builders import PIPELINE, Play, drift_event, policy


def under_way(in_flight: str, cooldown: str = "0s") -> Play:
    play = Play().with_policies(policy(limits={"cooldown": cooldown, "in_flight": in_flight}))
    play.azure.endings[PIPELINE] = Ending(RunStatus.RUNNING)
    play.receive(drift_event("first"))
    play.tick()
    return play


def test_hold_decides_new_drift_at_once() -> None:
    """With `hold`, new drift is a hold at once, and one training runs."""
    play = under_way("hold")

    play.receive(drift_event("second", at=play.now))
    play.tick()

    assert [decision.outcome for decision in play.ledger.decisions()] == [Outcome.HOLD, Outcome.RETRAIN]
    assert len(play.azure.pipeline_runs) == 1


def test_queue_waits_for_the_end() -> None:
    """With `queue`, new drift waits for the end of the retraining and is then one decision."""
    play = under_way("queue")

    play.receive(drift_event("second", at=play.now), drift_event("third", at=play.now))
    play.tick()
    assert len(play.ledger.decisions()) == 1
    finish(play)

    assert len(play.azure.pipeline_runs) == 2
    assert len(play.ledger.decisions()) == 2, "what queued up is one decision"


def test_queued_storm_delays_no_model() -> None:
    """A storm of events in the queue of one model delays no other model."""
    queues = policy("slow", monitors=["slow"], limits={"in_flight": "queue"})
    play = Play().with_policies(queues, policy("other", monitors=["other"]))
    play.azure.endings[PIPELINE] = Ending(RunStatus.RUNNING)
    play.receive(drift_event("first", monitor="slow"))
    play.tick()
    play.receive(*(drift_event(f"again-{number}", monitor="slow", at=play.now) for number in range(5001)))
    play.tick()

    play.receive(drift_event("late", monitor="other", at=play.now))
    play.tick()

    assert {item.model for item in play.ledger.retrainings()} == {"slow", "other"}


def test_supersede_cancels_then_trains() -> None:
    """With `supersede`, the older training is cancelled in Azure before the new one starts."""
    play = under_way("supersede", cooldown="24h")
    [first] = play.ledger.retrainings()

    play.receive(drift_event("second", at=play.now))
    play.tick_until(lambda: len(play.azure.pipeline_runs) == 2)

    old = play.ledger.retraining(first.id)
    assert old is not None
    assert (old.state, old.stopped_for) == (RetrainingState.CANCELED, StopCause.SUPERSEDED)
    assert [run.status for run in play.azure.pipeline_runs.values()] == [RunStatus.CANCELED, RunStatus.RUNNING]
    assert play.azure.jobs[first.job_name].status is RunStatus.CANCELED


def test_supersede_runs_one_training() -> None:
    """While retrainings are superseded, at most one training of the model runs."""
    play = under_way("supersede")
    for number in range(12):
        play.receive(drift_event(f"again-{number}", at=play.now))
        play.tick()
        running = [run for run in play.azure.pipeline_runs.values() if run.status is RunStatus.RUNNING]
        assert len(running) <= 1
        assert len(play.ledger.retrainings(OPEN_RETRAINING)) <= 1


def test_supersedes_are_limited() -> None:
    """After three retrainings superseded in a row the next one may finish."""
    play = under_way("supersede")

    for number in range(40):
        play.receive(drift_event(f"again-{number}", at=play.now))
        play.tick()

    assert len(play.azure.pipeline_runs) == 4, "after three in a row the next may finish"


def test_weak_drift_supersedes_nothing() -> None:
    """Drift that would not retrain supersedes nothing."""
    play = under_way("supersede")

    play.receive(drift_event("weak", value=0.1, at=play.now))
    play.tick()

    assert play.retraining.state is RetrainingState.TRAINING
    assert play.ledger.decisions()[0].outcome == Outcome.HOLD


def finish(play: Play) -> None:
    """The training under way fails, and so nothing holds up the next."""
    for run in play.azure.pipeline_runs.values():
        run.status = RunStatus.FAILED
    for job in play.azure.jobs.values():
        job.status = RunStatus.FAILED
    play.tick()
    play.tick()


def test_stalled_pass_trains_once() -> None:
    """A pass that stalls past its lease starts no second training for the same event."""
    play = Play().with_policies(policy(limits={"cooldown": "0s"}))
    play.receive(drift_event())

    def others_take_over() -> None:
        play.now += timedelta(minutes=6)
        play.receive(drift_event("second", at=play.now))
        decide_pending(play.engine, play.now)
        play.tick_until(lambda: not play.retraining.is_open)

    play.azure.stall("missed.confirm", others_take_over)
    report = decide_pending(play.engine, play.now)

    assert (report.decided, len(report.deferred)) == ((), 1)
    assert len(play.azure.pipeline_runs) == 1


def test_stalled_pass_supersedes_nothing() -> None:
    """A pass that stalls past its lease does not supersede the retraining of another worker."""
    play = Play().with_policies(policy(limits={"cooldown": "0s", "in_flight": "supersede"}))
    play.azure.endings[PIPELINE] = Ending(RunStatus.RUNNING)
    play.receive(drift_event())

    def others_take_over() -> None:
        play.now += timedelta(minutes=6)
        decide_pending(play.engine, play.now)

    play.azure.stall("missed.confirm", others_take_over)
    decide_pending(play.engine, play.now)
    play.tick()

    assert play.retraining.state is RetrainingState.TRAINING
