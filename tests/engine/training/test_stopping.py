"""A retraining that is stopped leaves nothing running, at whatever point and whatever fails meanwhile."""

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
def test_stopped_training_is_cancelled_in_azure(aml: bool) -> None:
    """The retraining ends once nothing of it runs in Azure."""
    play = training(aml=aml)
    assert running(play)

    cancel(play)
    play.tick_until(lambda: play.retraining.state not in OPEN_RETRAINING)

    assert running(play) == []
    assert (play.retraining.state, play.retraining.reason) == (RetrainingState.CANCELED, "not needed")


def test_pipeline_stops_before_its_job() -> None:
    """The job is looked for once the pipeline, which may still start it, has ended."""
    play = training()

    cancel(play)
    play.tick()

    cancels = [call for call in play.azure.calls if call.endswith(".cancel")]
    assert cancels == ["launcher.cancel"], "the job is looked for once the pipeline has ended"
    play.tick()
    assert "jobs.cancel" in play.azure.calls


def test_stopped_evaluation_is_cancelled_in_azure() -> None:
    """A stop during the evaluation cancels the evaluation job in Azure."""
    play = Play()
    serve(play.azure, "3")
    play.azure.endings[EVALUATE_JOB] = Ending(RunStatus.RUNNING)
    play.receive(drift_event())
    play.tick_until(lambda: any(name.endswith("-evaluate") for name in play.azure.jobs))

    cancel(play)
    play.tick_until(lambda: play.retraining.state not in OPEN_RETRAINING)

    assert play.azure.jobs[play.retraining.evaluation_job].status is RunStatus.CANCELED


def test_lost_launch_is_found_and_cancelled() -> None:
    """A run whose launch returned no answer is found, and cancelled."""
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


def test_launch_may_appear_late() -> None:
    """A requested run may still appear during the visibility delay, so the retraining stays open."""
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


def test_stopping_waits_for_azure() -> None:
    """While Azure does not answer, the retraining stays open."""
    play = training()
    play.azure.down |= {"launcher.cancel"}
    cancel(play)
    play.tick()
    play.tick()
    assert play.retraining.state is RetrainingState.CANCELING

    play.azure.down.clear()
    play.tick_until(lambda: play.retraining.state not in OPEN_RETRAINING)

    assert running(play) == []


def test_stopped_training_is_not_registered() -> None:
    """A training that completes while it is being cancelled leads to no version."""
    play = Play()
    play.receive(drift_event())
    decide_pending(play.engine, play.now)
    cancel(play)

    play.tick_until(lambda: play.retraining.state not in OPEN_RETRAINING)

    assert play.retraining.state is RetrainingState.CANCELED
    assert play.azure.models == {}


def test_ended_retraining_cannot_be_stopped() -> None:
    """A stop of an ended retraining is refused."""
    play = training()
    cancel(play)
    play.tick_until(lambda: play.retraining.state not in OPEN_RETRAINING)

    with pytest.raises(IllegalTransition):
        cancel(play)


def test_failing_polls_cancel_nothing() -> None:
    """A training that cannot be polled for hours is still taken to be running."""
    play = training()
    play.azure.down |= {"jobs.get", "launcher.view", "jobs.ended", "launcher.ended"}

    for _ in range(30):
        play.tick(hours=1)

    assert play.retraining.state is RetrainingState.TRAINING, "a failing poll is no reason to cancel"
    assert len(running(play)) == 2


def test_late_training_is_cancelled_in_azure() -> None:
    """A training past its timeout is cancelled, and its retraining fails with that reason."""
    play = training()

    play.wait(hours=13)
    play.tick_until(lambda: play.retraining.state not in OPEN_RETRAINING)

    assert running(play) == []
    assert play.retraining.state is RetrainingState.FAILED
    assert "timed out" in (play.retraining.reason or "")
    audited = [row.what for row in play.ledger.audit(play.retraining.id)]
    assert audited[-2:] == ["stop", "failed"]


def test_unanswered_launch_times_out() -> None:
    """A launch without an answer from Azure fails after its timeout."""
    play = Play()
    play.azure.down |= {"launcher.launch"}
    play.receive(drift_event())
    play.tick()

    play.wait(hours=13)
    for _ in range(6):
        play.tick(minutes=5)

    assert play.retraining.state is RetrainingState.FAILED
    assert play.now - play.retraining.created_at < timedelta(hours=14)
