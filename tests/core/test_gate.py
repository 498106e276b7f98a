"""The gate: size, power, agreement with a reference, and reports that cannot be true."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from anew.core.gate import (
    EvaluationResult,
    GateOutcome,
    judge_gate,
    paired_bounds,
    parse_evaluation,
    without_champion,
)
from anew.core.policy import Gate
from anew.errors import InvalidEvaluation, PermanentError

GATE = Gate(kind="non_inferiority", margin=0.01, min_rows=300)
REPORT: dict[str, Any] = {
    "task": "classification",
    "rows": 672,
    "data_hash": "abc",
    "challenger_correct": 520,
    "champion_correct": 500,
    "only_champion": 10,
    "only_challenger": 30,
}


def result(rows: int, worse: int, better: int, both: int = 0) -> EvaluationResult:
    return EvaluationResult(rows, "h", both + better, both + worse, worse, better)


def outcomes(rows: int, difference: float, *, disagreement: float = 0.1, times: int = 2000) -> list[GateOutcome]:
    """The gate's answers on simulated evaluations with this true difference (challenger - champion)."""
    worse, better = (disagreement - difference) / 2, (disagreement + difference) / 2
    draws = np.random.default_rng(7).multinomial(rows, [worse, better, 1 - worse - better], size=times)
    return [judge_gate(GATE, result(rows, int(b), int(c), int(rest))).outcome for b, c, rest in draws]


def share(answers: list[GateOutcome], outcome: GateOutcome) -> float:
    return answers.count(outcome) / len(answers)


@pytest.mark.parametrize("rows", [300, 1000, 5000])
def test_a_challenger_exactly_the_margin_worse_is_promoted_at_most_at_the_stated_rate(rows: int) -> None:
    answers = outcomes(rows, -GATE.margin)
    slack = 3 * math.sqrt(0.05 * 0.95 / len(answers))
    assert share(answers, GateOutcome.PROMOTE) <= 0.05 + slack
    assert share(answers, GateOutcome.REJECT) <= 0.05 + slack


def test_required_rows_give_equal_models_the_stated_power() -> None:
    needed = judge_gate(GATE, result(10_000, 500, 500, 8000)).required_rows
    assert needed == pytest.approx(6.18 * 0.1 / 0.01**2, rel=0.01)
    assert share(outcomes(needed or 0, 0.0), GateOutcome.PROMOTE) == pytest.approx(0.8, abs=0.03)


def test_a_clearly_better_challenger_passes_and_a_clearly_worse_one_does_not() -> None:
    assert share(outcomes(3000, 0.02), GateOutcome.PROMOTE) > 0.99
    assert share(outcomes(3000, -0.04), GateOutcome.REJECT) > 0.99


@given(st.integers(0, 200), st.integers(0, 200), st.integers(0, 2000), st.floats(0.6, 0.999))
def test_bounds_are_the_adjusted_wald_interval(worse: int, better: int, rest: int, confidence: float) -> None:
    rows = worse + better + rest + 1
    lower, upper = paired_bounds(worse, better, rows, confidence)
    # The reference works on rows: +1 and -1 for the discordant ones with one more of each, 0 for the others.
    scores = np.repeat([-1.0, 1.0, 0.0], [worse + 1, better + 1, rows - worse - better])
    expected = stats.norm.interval(2 * confidence - 1, loc=scores.mean(), scale=scores.std() / math.sqrt(rows + 2))
    assert (lower, upper) == pytest.approx((max(expected[0], -1), min(expected[1], 1)), abs=1e-9)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(300, 3000))
def test_swapping_the_models_mirrors_the_bounds(worse: int, better: int, rows: int) -> None:
    lower, upper = paired_bounds(worse, better, rows, 0.95)
    assert paired_bounds(better, worse, rows, 0.95) == pytest.approx((-upper, -lower))


def test_models_that_never_disagree_do_not_collapse_the_interval() -> None:
    lower, upper = paired_bounds(0, 0, 300, 0.95)
    assert lower < 0 < upper


def test_too_few_rows_are_inconclusive_however_good_the_figures() -> None:
    judged = judge_gate(GATE, result(299, 0, 250, 0))
    assert judged.outcome is GateOutcome.INCONCLUSIVE
    assert "asks for 300" in judged.sentence


def test_inconclusive_says_how_many_rows_would_tell() -> None:
    judged = judge_gate(GATE, result(672, 34, 33, 500))
    assert judged.outcome is GateOutcome.INCONCLUSIVE
    assert f"about {judged.required_rows} rows would tell" in judged.sentence


def test_a_margin_of_zero_asks_for_superiority_and_has_no_required_rows() -> None:
    strict = GATE.model_copy(update={"margin": 0.0})
    assert judge_gate(strict, result(3000, 100, 200)).outcome is GateOutcome.PROMOTE
    assert judge_gate(strict, result(3000, 150, 150)).required_rows is None


@pytest.mark.parametrize("answer", ["promote", "reject"])
def test_without_champion_the_policy_answers(answer: str) -> None:
    gate = GATE.model_copy(update={"without_champion": answer})
    judged = judge_gate(gate, EvaluationResult(10, "h", 8))
    assert (judged.outcome, judged.accuracy_challenger, judged.lower) == (GateOutcome(answer), 0.8, None)
    assert (without_champion(gate).outcome, without_champion(gate).rows) == (GateOutcome(answer), 0)


# --- reports ----------------------------------------------------------------------------------------------


def test_a_report_is_read_with_and_without_a_champion() -> None:
    assert parse_evaluation(json.dumps(REPORT)) == EvaluationResult(672, "abc", 520, 500, 10, 30)
    alone = {key: REPORT[key] for key in ("task", "rows", "data_hash", "challenger_correct")}
    assert parse_evaluation(json.dumps(alone)) == EvaluationResult(672, "abc", 520)


@pytest.mark.parametrize(
    "change",
    [
        {"task": "regression"},
        {"rows": 0},
        {"rows": 529},
        {"rows": "672"},
        {"rows": True},
        {"rows": 672.5},
        {"data_hash": ""},
        {"challenger_correct": 673},
        {"challenger_correct": -1},
        {"champion_correct": 501},
        {"champion_correct": None},
        {"only_champion": 501, "only_challenger": 521},
        {"only_challenger": None},
    ],
)
def test_a_report_that_cannot_be_true_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidEvaluation, match="anew_evaluation"):
        parse_evaluation(json.dumps({**REPORT, **change}))


@given(st.text() | st.just("NaN") | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_any_other_text_is_an_invalid_evaluation(text: str) -> None:
    with pytest.raises(InvalidEvaluation) as caught:
        parse_evaluation(text)
    assert isinstance(caught.value, PermanentError)
    assert isinstance(caught.value, ValueError)
