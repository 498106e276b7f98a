"""A worker that stalls between intent and request, while others act, repeats nothing and leaves nothing running."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from anew.adapters.memory.azure import Ending
from anew.core.policies.policy import Policy
from anew.core.retrainings.lifecycle import RetrainingState
from anew.core.rollouts.lifecycle import RolloutState
from anew.engine.base.ports import RunStatus
from anew.engine.decisions.decide_pending import decide_pending
from anew.engine.reconcile import reconcile
from anew.engine.rollouts.deploy import deploy
from anew.engine.rollouts.rollback import request_rollback
from anew.engine.training.launching import launch
from anew.engine.training.stopping import request_stop
from tests.builders import EVALUATE_JOB, MODEL, PIPELINE, START, Play, drift_event, policy, serve
from tests.engine.rollouts.releases import NEW, OLD, shifting, traffic

LAUNCHERS = {"adf": policy(), "aml": policy(retrain={"launcher": {"kind": "aml", "job": "train.yml"}})}
JOB = "train.yml"


def drifted(document: Policy) -> Play:
    """Drift to decide about; trainings and evaluations run until they are cancelled."""
    play = Play().with_policies(document)
    serve(play.azure, "3")
    for each in (PIPELINE, JOB, EVALUATE_JOB):
        play.azure.endings[each] = Ending(RunStatus.RUNNING)
    play.receive(drift_event())
    return play


def evaluating() -> Play:
    """A training that has completed, so that the next step submits its evaluation."""
    play = drifted(policy())
    decide_pending(play.engine, play.now)
    play.azure.jobs[play.retraining.job_name].status = RunStatus.COMPLETED
    for run in play.azure.pipeline_runs.values():
        run.status = RunStatus.COMPLETED
    return play


def other_worker(play: Play, **later: float) -> Callable[[], None]:
    """Another worker that ticks once, so much later."""

    def tick() -> None:
        play.now += timedelta(**later)
        reconcile(replace(play.engine, actor="other"), play.now)

    return tick


def running(play: Play) -> list[str]:
    jobs = [name for name, job in play.azure.jobs.items() if job.status is RunStatus.RUNNING]
    return jobs + [run for run, each in play.azure.pipeline_runs.items() if each.status is RunStatus.RUNNING]


def tick_until_over(play: Play) -> None:
    for _ in range(10):
        if not play.retraining.is_open:
            return
        other_worker(play, minutes=1)()
    raise AssertionError(f"still {play.retraining.state}")


@pytest.mark.parametrize("kind", LAUNCHERS)
@pytest.mark.parametrize("minutes", [0, 1, 3, 600])
def test_stalled_launch_makes_one_run(kind: str, minutes: int) -> None:
    """A launch that stalls while another worker takes over makes one run."""
    play = drifted(LAUNCHERS[kind])
    play.azure.stall("launcher.launch", other_worker(play, minutes=minutes))

    decide_pending(play.engine, play.now)
    for _ in range(5):
        other_worker(play, minutes=1)()

    assert play.azure.effects["run", play.retraining.id] == 1
    assert play.retraining.state is RetrainingState.TRAINING


def test_long_pass_makes_no_launch_late() -> None:
    """The time of the intent counts, not the beginning of the pass."""
    play = drifted(policy())
    play.azure.down.add("launcher.launch")
    decide_pending(play.engine, play.now)  # another pass will launch it, which began just now
    play.azure.down.clear()
    play.now += timedelta(minutes=9)

    launched = launch(play.engine, play.retraining, now=START + timedelta(minutes=3))

    assert launched.state is RetrainingState.TRAINING, "the launch is not late, although its pass is old"
    assert play.azure.effects["run", launched.id] == 1


@pytest.mark.parametrize("kind", LAUNCHERS)
@pytest.mark.parametrize("minutes", [0, 3])
def test_stalled_launch_of_stopped_retraining(kind: str, minutes: int) -> None:
    """A launch that stalls while its retraining is stopped leaves nothing running."""
    play = drifted(LAUNCHERS[kind])

    def cancel() -> None:
        request_stop(play.engine, MODEL, "not needed", play.now)
        other_worker(play)()
        other_worker(play, minutes=minutes)()

    play.azure.stall("launcher.launch", cancel)
    decide_pending(play.engine, play.now)
    tick_until_over(play)

    assert (play.retraining.state, running(play)) == (RetrainingState.CANCELED, [])


@pytest.mark.parametrize("minutes", [0, 3])
def test_stalled_evaluation_of_stopped_retraining(minutes: int) -> None:
    """An evaluation that stalls while its retraining is stopped leaves nothing running, and is not sent late."""
    play = evaluating()

    def cancel() -> None:
        request_stop(play.engine, MODEL, "not needed", play.now)
        other_worker(play)()
        other_worker(play, minutes=minutes)()

    play.azure.stall("jobs.submit", cancel)
    other_worker(play, minutes=1)()
    tick_until_over(play)

    assert (play.retraining.state, running(play)) == (RetrainingState.CANCELED, [])
    assert (play.retraining.evaluation_job in play.azure.jobs) is (minutes == 0), "a late request is not sent"


def test_lost_evaluation_is_submitted_again() -> None:
    """An evaluation whose request was lost is submitted again, once."""
    play = evaluating()
    play.azure.down.add("jobs.submit")
    other_worker(play, minutes=1)()
    assert running(play) == []
    play.azure.down.clear()

    other_worker(play, minutes=1)()
    other_worker(play, minutes=2)()

    assert running(play) == [play.retraining.evaluation_job]


# --- traffic ----------------------------------------------------------------------------------------------


def test_stalled_stage_is_not_written() -> None:
    """A worker that stalls before a stage does not write it after another worker has rolled back."""
    play = shifting()
    play.azure.refused.add("endpoints.delete_deployment")  # as it takes Azure minutes

    def roll_back() -> None:
        play.now += play.engine.timing.rollout_lease + timedelta(seconds=1)
        request_rollback(replace(play.engine, actor="other"), MODEL, "complaints", play.now)
        other_worker(play)()

    play.azure.stall("endpoints.set_traffic", roll_back)
    play.now += timedelta(hours=2)
    other_worker(play)()

    assert traffic(play) == {OLD: 100}
    assert play.rollout.state is RolloutState.ROLLED_BACK


def test_endpoint_lease_begins_when_taken() -> None:
    """The lease of an endpoint begins when it is taken, not with the pass."""
    play = shifting()
    play.now += timedelta(hours=2)
    old_pass = play.now - play.engine.timing.rollout_lease

    deploy(play.engine, old_pass + timedelta(minutes=1))

    assert traffic(play) == {NEW: 100}
