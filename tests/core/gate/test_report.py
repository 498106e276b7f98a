"""Reports: what is written is read back, and what cannot be true is refused."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anew.core.gate import (
    EvaluationResult,
    GateOutcome,
    PairedCounts,
    compare,
    evaluation_of_counts,
    evaluation_of_metrics,
    judge_gate,
    parse_evaluation,
    parse_gate,
    report_text,
)
from anew.core.policies.gate import Gate
from anew.errors import InvalidEvaluation, InvalidPolicy, PermanentError
from tests.core.gate.samples import classified, gate, predicted

COUNTS: dict[str, Any] = {
    "task": "classification",  # nobody asks for it
    "rows": 672,
    "data_hash": "abc",
    "challenger_correct": 520,
    "champion_correct": 500,
    "only_champion": 10,
    "only_challenger": 30,
}
INTERVAL = {
    "difference": 0.02,
    "lower": 0.01,
    "upper": 0.03,
    "confidence": 0.95,
    "method": "delong",
    "standard_error": 0.006,
    "units": 672,
    "informative": 600,
}
FIGURES: dict[str, Any] = {
    "metric": "auc",
    "rows": 672,
    "data_hash": "abc",
    "challenger": 0.8,
    "champion": 0.78,
    "interval": INTERVAL,
    "slices": {
        "columns": ["region"],
        "margin": 0.03,
        "min_rows": 50,
        "judged": 2,
        "unjudged": 1,
        "worst": [{"name": "region=north", "rows": 300, "difference": -0.01, "p_value": 0.4}],
    },
    "figures": {"latency_ms": 12.5},
}


def test_counts_are_a_report() -> None:
    """Counts alone are a report, with and without a champion."""
    assert parse_evaluation(json.dumps(COUNTS)) == evaluation_of_counts(672, "abc", PairedCounts(520, 500, 10, 30))
    alone = {key: COUNTS[key] for key in ("rows", "data_hash", "challenger_correct")}
    assert parse_evaluation(json.dumps(alone)) == EvaluationResult(672, "abc", 520 / 672)


@pytest.mark.parametrize(
    "change",
    [
        {"rows": 0},
        {"rows": 529},
        {"rows": "672"},
        {"rows": True},
        {"rows": 672.5},
        {"data_hash": ""},
        {"metric": "f1"},
        {"challenger_correct": 673},
        {"challenger_correct": -1},
        {"challenger_correct": None},
        {"champion_correct": 501},
        {"champion_correct": None},
        {"only_champion": 501, "only_challenger": 521},
        {"only_challenger": None},
    ],
)
def test_impossible_counts_are_refused(change: dict[str, Any]) -> None:
    """Counts that cannot be true are refused."""
    with pytest.raises(InvalidEvaluation, match="anew_evaluation"):
        parse_evaluation(json.dumps({**COUNTS, **change}))


@pytest.mark.parametrize(
    "change",
    [
        {"challenger": None},
        {"champion": None},
        {"interval": None},
        {"interval": {**INTERVAL, "lower": 0.04}},
        {"interval": {**INTERVAL, "informative": 673}},
        {"interval": {**INTERVAL, "units": 673}},
        {"interval": {**INTERVAL, "confidence": 1.0}},
        {"interval": {**INTERVAL, "method": "guessed"}},
        {"interval": {**INTERVAL, "standard_error": -1.0}},
        {"slices": {**FIGURES["slices"], "judged": 0}},
        {"slices": {**FIGURES["slices"], "worst": []}},
    ],
)
def test_impossible_figures_are_refused(change: dict[str, Any]) -> None:
    """Figures that cannot be true are refused."""
    assert parse_evaluation(json.dumps(FIGURES)).challenger == 0.8
    with pytest.raises(InvalidEvaluation, match="anew_evaluation"):
        parse_evaluation(json.dumps({**FIGURES, **change}))


@given(st.text() | st.just("NaN") | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_other_text_is_invalid(text: str) -> None:
    """Text that is not an evaluation is an `InvalidEvaluation`, which is a permanent error."""
    with pytest.raises(InvalidEvaluation) as caught:
        parse_evaluation(text)
    assert isinstance(caught.value, PermanentError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    "asked",
    [
        gate(),
        gate(metric="f1", slices={"columns": ["region"]}),
        gate(metric="auc", block="day", floors=[{"metric": "accuracy", "at_least": 0.5}]),
    ],
)
def test_report_round_trip(asked: Gate) -> None:
    """A report is read as it was written."""
    report = compare(classified(600), asked, figures={"latency_ms": 12.5})
    assert parse_evaluation(report_text(report)) == report


def test_report_stays_short() -> None:
    """A report stays short, however many slices there are."""
    rows = classified(6000)
    rows["key"] = rows["day"]
    asked = gate(metric="f1", slices={"columns": ["key", "region"], "min_rows": 10})
    report = compare(rows, asked)
    assert report.slices is not None
    assert (report.slices.judged, len(report.slices.worst)) == (305, 8)
    assert len(report_text(report)) < 1500


def test_gate_survives_json() -> None:
    """A gate survives the JSON that is passed to the job."""
    asked = gate(metric="cost", worse="above", floors=[{"metric": "latency_ms", "at_most": 20}], block="day")
    assert parse_gate(asked.model_dump_json()) == asked
    with pytest.raises(InvalidPolicy, match="margin"):
        parse_gate('{"kind": "non_inferiority", "margin": -1}')


@pytest.mark.parametrize("change", [{"metric": "cost"}, {"metric": "mae", "worse": "below"}])
def test_metric_direction_is_checked(change: dict[str, str]) -> None:
    """A gate refuses a metric whose direction is missing or wrong."""
    with pytest.raises(ValueError, match="worse"):
        gate(**change)


def test_interim_analyses_need_an_interval() -> None:
    """Interim analyses without time between them are refused."""
    with pytest.raises(ValueError, match="more than 0s"):
        gate(inconclusive={"every": "0s"})


# --- averages only ----------------------------------------------------------------------------------------


def test_accuracies_assume_most_disagreement() -> None:
    """Accuracies without counts are judged by the most disagreement that they allow."""
    metrics = {"champion_accuracy": 0.8, "challenger_accuracy": 0.82, "rows": 5000.0}
    judged = judge_gate(gate(), evaluation_of_metrics(metrics, gate()))
    assert (judged.method, judged.difference) == ("largest-disagreement", pytest.approx(0.02))
    paired = judge_gate(gate(), evaluation_of_counts(5000, "h", PairedCounts(4100, 4000, 200, 300)))
    assert judged.lower is not None
    assert paired.lower is not None
    assert judged.lower < paired.lower


def test_averages_need_standard_error() -> None:
    """Other averages are inconclusive without a standard error."""
    asked = gate(metric="rmse", floors=[{"metric": "latency_ms", "at_most": 20}])
    metrics = {"champion_rmse": 2.0, "challenger_rmse": 1.0, "rows": 5000.0, "latency_ms": 5.0}
    judged = judge_gate(asked, evaluation_of_metrics(metrics, asked))
    assert judged.outcome is GateOutcome.INCONCLUSIVE
    assert "no standard error of the difference in rmse" in judged.sentence
    sure = judge_gate(asked, evaluation_of_metrics({**metrics, "challenger_rmse_minus_champion_se": 0.1}, asked))
    assert (sure.outcome, sure.difference) == (GateOutcome.PROMOTE, 1.0)
    slow = judge_gate(asked, evaluation_of_metrics({**metrics, "latency_ms": 50.0}, asked))
    assert slow.outcome is GateOutcome.REJECT


def test_averages_cannot_satisfy_slices() -> None:
    """Averages are inconclusive for a gate with slices."""
    asked = gate(slices={"columns": ["region"]})
    metrics = {"champion_accuracy": 0.5, "challenger_accuracy": 0.9, "rows": 5000.0}
    judged = judge_gate(asked, evaluation_of_metrics(metrics, asked))
    assert judged.outcome is GateOutcome.INCONCLUSIVE


@pytest.mark.parametrize(
    "metrics",
    [
        {},
        {"challenger_accuracy": 0.9},
        {"challenger_accuracy": 0.9, "rows": 0.0},
        {"rows": 5.0},
        {"challenger_accuracy": 1.2, "champion_accuracy": 0.9, "rows": 9.0},
        {"challenger_accuracy": float("nan"), "rows": 9.0},
    ],
)
def test_invalid_averages_are_refused(metrics: dict[str, float]) -> None:
    """Averages that are missing or not shares are refused."""
    with pytest.raises(InvalidEvaluation):
        evaluation_of_metrics(metrics, gate())


def test_first_model_uses_policy_and_floors() -> None:
    """Metrics of a first model are judged by the policy and its floors."""
    asked = gate(floors=[{"metric": "accuracy", "at_least": 0.9}])
    judged = judge_gate(asked, evaluation_of_metrics({"challenger_accuracy": 0.95, "rows": 100.0}, asked))
    assert (judged.outcome, judged.champion) == (GateOutcome.PROMOTE, None)


def test_regression_needs_no_counts() -> None:
    """The report of a regression needs no counts."""
    report = compare(predicted(500), gate(metric="mae", margin=0.5))
    assert report.counts is None
    assert judge_gate(gate(metric="mae", margin=0.5), report).outcome is GateOutcome.PROMOTE
