"""A candidate awaits more rows for as long as the policy says."""

from datetime import timedelta

from anew.core.retrainings.lifecycle import RetrainingState
from anew.engine.base.ports import RunStatus
from anew.engine.training.stopping import request_stop
from tests.builders import EVALUATE_JOB, MODEL, drift_event, evaluation, serve
from tests.engine.promotion.candidates import INCONCLUSIVE, awaiting_approval, awaiting_data, evaluations, gate, played


def test_inconclusive_candidate_is_evaluated_again() -> None:
    """An inconclusive gate waits for `every`, and evaluates on the newest rows."""
    play = awaiting_data()
    first = play.retraining.evaluation_job
    play.azure.endings[EVALUATE_JOB] = evaluation(data_hash="newer")

    play.tick(hours=23)
    assert play.retraining.state is RetrainingState.AWAITING_DATA
    play.tick(hours=1)
    play.tick_until(lambda: not play.retraining.is_open)

    assert play.retraining.state is RetrainingState.REGISTERED
    assert (play.retraining.evaluation_job, play.retraining.evaluations) == (f"{first}-2", 2)
    assert play.azure.models[MODEL, "4"].tags["anew_evaluation_run"] == f"{first}-2"


def test_waiting_for_rows_ends_in_rejection() -> None:
    """At the end of `keep_for` the candidate is rejected with the sentence of the gate."""
    play = awaiting_data()
    began = play.retraining.inconclusive_since
    assert began is not None

    for number in range(80):
        play.azure.endings[EVALUATE_JOB] = evaluation(**INCONCLUSIVE, data_hash=f"rows-{number}")
        play.tick(hours=1)

    assert play.retraining.state is RetrainingState.REJECTED
    assert timedelta(days=3) <= play.retraining.state_since - began <= timedelta(days=3, hours=2)
    assert (play.retraining.reason or "").startswith("inconclusive: ")
    assert play.retraining.evaluations == evaluations(play) == 3


def test_waiting_for_rows_ends_in_approval() -> None:
    """With `then: ask` a person decides at the end of `keep_for`."""
    play = awaiting_data(then="ask")

    play.tick(days=3)

    assert play.retraining.state is RetrainingState.AWAITING_APPROVAL


def test_no_time_to_wait_resolves_at_once() -> None:
    """With a `keep_for` of zero there is one evaluation."""
    play = played(gate(keep_for="0s"), RetrainingState.REJECTED, report=evaluation(**INCONCLUSIVE))

    assert evaluations(play) == 1


def test_same_rows_are_no_evidence() -> None:
    """A second report on the same rows stays inconclusive, whatever it says."""
    play = awaiting_data()
    play.azure.endings[EVALUATE_JOB] = evaluation(better=60, worse=0)

    play.tick(days=1)
    play.tick()

    assert (play.retraining.state, play.retraining.evaluations) == (RetrainingState.AWAITING_DATA, 2)
    assert "no new rows since the last evaluation" in (play.retraining.reason or "")


def test_other_champion_is_new_evidence() -> None:
    """The same rows against another champion are a new comparison."""
    play = awaiting_data()
    play.azure.endings[EVALUATE_JOB] = evaluation()
    serve(play.azure, "7")

    play.tick(days=1)
    play.tick_until(lambda: not play.retraining.is_open)

    assert play.azure.jobs[play.retraining.evaluation_job].inputs["champion"] == f"azureml:{MODEL}:7"
    assert play.azure.models[MODEL, "8"].tags["anew_parent_version"] == "7"


def test_waiting_candidate_costs_no_request() -> None:
    """A candidate that awaits data is not looked up in Azure before it is evaluated again."""
    play = awaiting_data()
    play.tick(minutes=1)
    before = len(play.azure.calls)

    for _ in range(22):
        play.tick(hours=1)

    about_runs = [call for call in play.azure.calls[before:] if call.startswith(("jobs.get", "launcher.view"))]
    assert about_runs == []
    assert play.retraining.state is RetrainingState.AWAITING_DATA


def test_waiting_candidate_can_be_stopped() -> None:
    """A candidate that awaits data or approval can be stopped, and leaves nothing running."""
    for play in (awaiting_data(), awaiting_approval()):
        request_stop(play.engine, MODEL, "not needed", play.now)

        play.tick_until(lambda play=play: not play.retraining.is_open)

        assert play.retraining.state is RetrainingState.CANCELED
        assert all(job.status is not RunStatus.RUNNING for job in play.azure.jobs.values())


def test_newer_drift_supersedes_waiting_candidate() -> None:
    """With `in_flight: supersede` newer drift cancels a candidate that awaits data."""
    play = played(
        gate(),
        RetrainingState.AWAITING_DATA,
        report=evaluation(**INCONCLUSIVE),
        limits={"cooldown": "1h", "in_flight": "supersede"},
    )
    waiting = play.retraining.id

    play.receive(drift_event("drift-2", at=play.now))
    play.tick_until(lambda: len(play.ledger.retrainings()) == 2)

    superseded = play.ledger.retraining(waiting)
    assert superseded is not None
    assert superseded.state is RetrainingState.CANCELED
