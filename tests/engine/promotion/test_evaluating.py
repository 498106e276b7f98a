"""A candidate is compared with the version in production, by a job or by the training itself."""

from typing import Any

import pytest

from anew.adapters.memory.azure import Ending
from anew.core.retrainings.gating import CHAMPION_CHANGES_AT_MOST
from anew.core.retrainings.lifecycle import RetrainingState
from tests.builders import MODEL, PIPELINE, Play, drift_event, evaluation, policy, serve
from tests.engine.promotion.candidates import INCONCLUSIVE, evaluations, gate, played

BY_TRAINING: dict[str, Any] = {"evaluate": {"by": "training"}}


def evaluating() -> Play:
    return played(gate(), RetrainingState.EVALUATING)


def test_old_champion_is_compared_again() -> None:
    """A candidate that passed against a former champion is compared with the new one."""
    play = evaluating()
    serve(play.azure, "7")

    play.tick_until(lambda: not play.retraining.is_open)

    assert (play.retraining.state, play.retraining.champion_version) == (RetrainingState.REGISTERED, "7")
    assert play.azure.models[MODEL, "8"].tags["anew_parent_version"] == "7"
    assert evaluations(play) == 2


def test_changing_champion_ends_in_rejection() -> None:
    """A champion that changes each time does not keep a candidate open for ever."""
    play = evaluating()

    for version in range(10, 40):
        serve(play.azure, str(version))
        play.tick()

    assert play.retraining.state is RetrainingState.REJECTED
    assert "another version went live" in (play.retraining.reason or "")
    assert evaluations(play) == CHAMPION_CHANGES_AT_MOST + 1


def test_first_champion_is_compared_with() -> None:
    """A first version that goes live during the registration becomes the champion."""
    play = Play()
    play.azure.endings[PIPELINE] = Ending()
    play.receive(drift_event())
    play.azure.down.add("registry.versions")
    play.tick()
    play.tick_until(lambda: play.retraining.state is RetrainingState.REGISTERING)
    play.azure.down.clear()
    serve(play.azure, "1")

    play.tick_until(lambda: not play.retraining.is_open)

    assert (play.retraining.state, play.retraining.champion_version) == (RetrainingState.REGISTERED, "1")


def test_missing_endpoint_voids_nothing() -> None:
    """A comparison counts although its champion has left production."""
    play = evaluating()
    play.azure.endpoints.clear()

    play.tick_until(lambda: not play.retraining.is_open)

    assert (play.retraining.state, evaluations(play)) == (RetrainingState.REGISTERED, 1)


def test_report_without_champion_fails() -> None:
    """While a version is in production, a report without a champion fails the retraining."""
    alone = {"task": "classification", "rows": 1000, "data_hash": "x", "challenger_correct": 900}
    report = Ending(tags={"anew_evaluation": str(alone).replace("'", '"')})

    play = played(gate(), RetrainingState.FAILED, report=report)

    assert "no champion, but version 3 of price is in production" in (play.retraining.reason or "")


def test_floors_are_evaluated_without_champion() -> None:
    """Floors need an evaluation although no version is in production."""
    floors = [{"metric": "latency_ms", "at_most": 50}]
    play = Play().with_policies(policy(gate={"kind": "non_inferiority", "floors": floors}))
    play.receive(drift_event())
    play.tick()

    play.tick_until(lambda: any(name.endswith("-evaluate") for name in play.azure.jobs))

    inputs = play.azure.jobs[play.retraining.evaluation_job].inputs
    assert "champion" not in inputs


def test_evaluation_gets_the_gate() -> None:
    """The evaluation job gets what it needs of the gate as an input."""
    play = evaluating()

    passed = str(play.azure.jobs[play.retraining.evaluation_job].inputs["gate"])

    assert '"margin":0.01' in passed
    assert "approval" not in passed


# --- by the training itself -------------------------------------------------------------------------------


def by_training(ending: Ending, **inconclusive: Any) -> Play:
    play = Play().with_policies(policy(gate=gate(**inconclusive), **BY_TRAINING))
    serve(play.azure, "3")
    play.azure.endings[PIPELINE] = ending
    play.receive(drift_event())
    play.tick()
    return play


def test_training_reports_itself() -> None:
    """With `by: training` no evaluation runs."""
    play = by_training(evaluation())

    play.tick_until(lambda: not play.retraining.is_open)

    assert (play.retraining.state, evaluations(play)) == (RetrainingState.REGISTERED, 0)
    assert play.azure.models[MODEL, "4"].tags["anew_evaluation_run"] == play.retraining.job_name


def test_metrics_replace_missing_report() -> None:
    """A training without a report is judged by the metrics that it logged."""
    metrics = {"challenger_accuracy": 0.95, "champion_accuracy": 0.5, "rows": 2000.0}
    play = by_training(Ending(metrics=metrics))

    play.tick_until(lambda: not play.retraining.is_open)

    assert play.retraining.state is RetrainingState.REGISTERED


def test_training_without_figures_fails() -> None:
    """A training with neither report nor metrics fails the retraining."""
    play = by_training(Ending())

    play.tick_until(lambda: not play.retraining.is_open)

    assert play.retraining.state is RetrainingState.FAILED


@pytest.mark.parametrize(
    ("then", "state"), [("reject", RetrainingState.REJECTED), ("ask", RetrainingState.AWAITING_APPROVAL)]
)
def test_inconclusive_training_is_resolved_at_once(then: str, state: RetrainingState) -> None:
    """A training reports once, so waiting would add no evidence."""
    play = by_training(evaluation(**INCONCLUSIVE), then=then)

    play.tick_until(lambda: play.retraining.state is state)


def test_training_against_old_champion_is_inconclusive() -> None:
    """The report of a training counts only against the champion of that time."""
    play = by_training(evaluation())
    play.azure.down.add("registry.versions")
    play.tick_until(lambda: play.retraining.state is RetrainingState.REGISTERING)
    play.azure.down.clear()
    serve(play.azure, "7")

    play.tick_until(lambda: not play.retraining.is_open)

    assert play.retraining.state is RetrainingState.REJECTED
    assert "another version than 7" in (play.retraining.reason or "")
