"""A retraining that is given up leaves nothing running, whenever it is given up and whatever goes wrong meanwhile."""

from datetime import timedelta

import pytest

from anew.adapters.memory.azure import Ending, Fault
from anew.core.retrainings.lifecycle import OPEN_RETRAINING, RetrainingState, StopCause
from anew.engine.base.ports import RunStatus
from anew.engine.decisions.decide_pending import decide_pending
from anew.engine.training.stopping import stop
from anew.errors import IllegalTransition
from tests.builders import EVALUATE_JOB, PIPELINE, Play, drift_event, policy, serve

AML = policy(retrain={"launcher": {"kind": "aml", "job": "train.yml"}})


def training(*, aml: bool = False) -> Play:
    """A training that runs until it is cancelled."""
    play = Play().with_policies(AML if aml else policy())
    play.azure.endings |= {PIPELINE: Ending(RunStatus.RUNNING), "train.yml": Ending(RunStatus.RUNNING)}
    play.receive(drift_event())
    play.tick()
    return play


def cancel(play: Play) -> None:
    stop(play.engine, play.retraining, StopCause.REQUESTED, "not needed", play.now)


def running(play: Play) -> list[str]:
    jobs = [name for name, job in play.azure.jobs.items() if job.status is RunStatus.RUNNING]
    return jobs + [run for run, each in play.azure.pipeline_runs.items() if each.status is RunStatus.RUNNING]


@pytest.mark.parametrize("aml", [False, True])
def test_cancelled_training_is_cancelled_outside_and_then_over(aml: bool) -> None:
    play = training(aml=aml)
    assert running(play)

    cancel(play)
    play.tick_until(lambda: play.retraining.state not in OPEN_RETRAINING)

    assert running(play) == []
    assert (play.retraining.state, play.retraining.reason) == (RetrainingState.CANCELED, "not needed")


def test_pipeline_is_stopped_before_the_job_it_may_be_about_to_start_is_looked_for() -> None:
    play = training()

    cancel(play)
    play.tick()

    cancels = [call for call in play.azure.calls if call.endswith(".cancel")]
    assert cancels == ["launcher.cancel"], "the job is looked for when the pipeline has ended"
    play.tick()
    assert "jobs.cancel" in play.azure.calls


def test_cancelled_evaluation_is_cancelled_outside() -> None:
    play = Play()
    serve(play.azure, "3")
    play.azure.endings[EVALUATE_JOB] = Ending(RunStatus.RUNNING)
    play.receive(drift_event())
    play.tick_until(lambda: any(name.endswith("-evaluate") for name in play.azure.jobs))

    cancel(play)
    play.tick_until(lambda: play.retraining.state not in OPEN_RETRAINING)

    assert play.azure.jobs[play.retraining.evaluation_job].status is RunStatus.CANCELED


def test_launch_whose_answer_was_lost_is_found_and_cancelled() -> None:
    play = Play()
    play.azure.endings[PIPELINE] = Ending(RunStatus.RUNNING)
    play.receive(drift_event())
    retrain_with_lost_answer(play)
    assert play.retraining.external_run_id is None

    cancel(play)
    play.tick_until(lambda: play.retraining.state not in OPEN_RETRAINING)

    assert running(play) == []
    assert play.azure.effects["run", play.retraining.id] == 1


def retrain_with_lost_answer(play: Play) -> None:
    probe = Play()
    probe.receive(drift_event())
    decide_pending(probe.engine, probe.now)
    play.azure.plan(probe.azure.calls.index("launcher.launch"), Fault.LOST_ANSWER)
    decide_pending(play.engine, play.now)


def test_launch_that_may_still_turn_up_keeps_the_retraining_open() -> None:
    play = Play()
    play.azure.down.add("launcher.launch")
    play.receive(drift_event())
    decide_pending(play.engine, play.now)

    cancel(play)
    play.tick(seconds=30)
    assert play.retraining.state is RetrainingState.CANCELING
    play.tick(minutes=3)

    assert play.retraining.state is RetrainingState.CANCELED
    assert play.azure.pipeline_runs == {}


def test_azure_that_does_not_answer_keeps_the_retraining_open_until_it_does() -> None:
    play = training()
    play.azure.down |= {"launcher.cancel"}
    cancel(play)
    play.tick()
    play.tick()
    assert play.retraining.state is RetrainingState.CANCELING

    play.azure.down.clear()
    play.tick_until(lambda: play.retraining.state not in OPEN_RETRAINING)

    assert running(play) == []


def test_training_that_completes_while_it_is_cancelled_is_not_registered() -> None:
    play = Play()
    play.receive(drift_event())
    decide_pending(play.engine, play.now)
    cancel(play)

    play.tick_until(lambda: play.retraining.state not in OPEN_RETRAINING)

    assert play.retraining.state is RetrainingState.CANCELED
    assert play.azure.models == {}


def test_what_has_ended_cannot_be_cancelled() -> None:
    play = training()
    cancel(play)
    play.tick_until(lambda: play.retraining.state not in OPEN_RETRAINING)

    with pytest.raises(IllegalTransition):
        cancel(play)


def test_poll_that_fails_for_hours_cancels_nothing() -> None:
    play = training()
    play.azure.down |= {"jobs.get", "launcher.view", "jobs.ended", "launcher.ended"}

    for _ in range(30):
        play.tick(hours=1)

    assert play.retraining.state is RetrainingState.TRAINING, "nobody may be cancelled on the word of a failing poll"
    assert len(running(play)) == 2


def test_training_past_its_timeout_is_cancelled_outside_and_says_so() -> None:
    play = training()

    play.wait(hours=13)
    play.tick_until(lambda: play.retraining.state not in OPEN_RETRAINING)

    assert running(play) == []
    assert play.retraining.state is RetrainingState.FAILED
    assert "timed out" in (play.retraining.reason or "")
    audited = [row.what for row in play.ledger.audit(play.retraining.id)]
    assert audited[-2:] == ["stop", "failed"]


def test_launch_that_azure_never_answers_is_given_up_after_its_timeout() -> None:
    play = Play()
    play.azure.down |= {"launcher.launch"}
    play.receive(drift_event())
    play.tick()

    play.wait(hours=13)
    for _ in range(6):
        play.tick(minutes=5)

    assert play.retraining.state is RetrainingState.FAILED
    assert play.now - play.retraining.created_at < timedelta(hours=14)
