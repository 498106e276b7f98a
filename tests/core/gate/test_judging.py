"""Judging: size and power at the published table, interim analyses, guard-rails, and reports of another gate."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anew.core.gate import (
    EvaluationResult,
    FloorState,
    GateOutcome,
    SliceFigure,
    SliceReport,
    SliceState,
    at_each_analysis,
    compare,
    gate_result_of,
    judge_gate,
    most_analyses,
    without_champion,
)
from anew.errors import InvalidEvaluation
from tests.core.gate.samples import GATE, classified, counted, gate, measured

SLICES = {"columns": ["region"], "margin": 0.03}


def draws(rows: int, difference: float, *, disagreement: float = 0.1, times: int = 2000) -> Any:
    """Discordant and other rows of simulated evaluations with this true difference (challenger - champion)."""
    worse, better = (disagreement - difference) / 2, (disagreement + difference) / 2
    return np.random.default_rng(7).multinomial(rows, [worse, better, 1 - worse - better], size=times)


def outcomes(rows: int, difference: float, **more: Any) -> list[GateOutcome]:
    return [
        judge_gate(GATE, counted(rows, int(b), int(c), int(rest))).outcome
        for b, c, rest in draws(rows, difference, **more)
    ]


def share(answers: list[GateOutcome], outcome: GateOutcome) -> float:
    return answers.count(outcome) / len(answers)


# --- size and power ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [300, 1000, 5000])
def test_margin_worse_is_rarely_promoted(rows: int) -> None:
    """A challenger worse by exactly the margin is promoted at most at the stated rate."""
    answers = outcomes(rows, -GATE.margin)
    slack = 3 * math.sqrt(0.05 * 0.95 / len(answers))
    assert share(answers, GateOutcome.PROMOTE) <= 0.05 + slack
    assert share(answers, GateOutcome.REJECT) <= 0.05 + slack


@pytest.mark.parametrize(
    ("rows", "difference", "naive", "non_inferior"),
    [
        (1000, -0.01, 0.15, 0.05),
        (1000, 0.0, 0.48, 0.26),
        (1000, 0.01, 0.83, 0.64),
        (3000, -0.01, 0.04, 0.05),
        (3000, 0.01, 0.96, 0.97),
        (10_000, 0.0, 0.49, 0.93),
        (10_000, 0.01, 1.00, 1.00),
    ],
)
def test_power_matches_published_table(rows: int, difference: float, naive: float, non_inferior: float) -> None:
    """The power equals the published table; a bare comparison promotes worse models."""
    counts = draws(rows, difference, times=3000)
    slack = 0.01 + 3 * math.sqrt(0.25 / len(counts))
    assert float((counts[:, 1] > counts[:, 0]).mean()) == pytest.approx(naive, abs=slack)
    assert share(outcomes(rows, difference, times=3000), GateOutcome.PROMOTE) == pytest.approx(non_inferior, abs=slack)


def test_required_rows_give_stated_power() -> None:
    """The required rows give equal models the stated power."""
    needed = judge_gate(GATE, counted(10_000, 500, 500, 8000)).required_rows
    assert needed == pytest.approx(6.18 * 0.1 / 0.01**2, rel=0.01)
    assert share(outcomes(needed or 0, 0.0), GateOutcome.PROMOTE) == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize(
    ("hold", "analyses"),
    [({}, 3), ({"keep_for": "0s"}, 1), ({"keep_for": "25h"}, 2), ({"keep_for": "10d"}, 10)],
)
def test_interim_analyses_keep_confidence(hold: dict[str, str], analyses: int) -> None:
    """All interim analyses together keep the confidence."""
    asked = gate(min_rows=300, inconclusive=hold)
    each, times, passed = at_each_analysis(asked), 1000, 0
    assert most_analyses(asked) == analyses
    counts = draws(1000, -asked.margin, times=times * analyses).reshape(times, analyses, 3)  # fresh rows each time
    for candidate in counts.tolist():
        answers = (judge_gate(each, counted(1000, *map(int, counts_of_one))).outcome for counts_of_one in candidate)
        passed += next((one for one in answers if one is not GateOutcome.INCONCLUSIVE), None) is GateOutcome.PROMOTE
    assert passed / times <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / times)


def test_superiority_exceeds_the_margin() -> None:
    """Superiority asks for more than the margin and keeps its error rate there."""
    better = GATE.model_copy(update={"kind": "superiority"})
    answers = [judge_gate(better, counted(3000, int(b), int(c), int(rest))).outcome for b, c, rest in draws(3000, 0.01)]
    assert share(answers, GateOutcome.PROMOTE) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / len(answers))
    assert judge_gate(better, counted(3000, 100, 300)).outcome is GateOutcome.PROMOTE
    assert judge_gate(better, counted(3000, 150, 150)).outcome is GateOutcome.REJECT
    assert judge_gate(better, counted(3000, 150, 150)).required_rows is None


# --- all rows ---------------------------------------------------------------------------------------------


def test_few_rows_are_inconclusive() -> None:
    """Too few rows are inconclusive, however good the figures."""
    judged = judge_gate(GATE, counted(299, 0, 250, 0))
    assert judged.outcome is GateOutcome.INCONCLUSIVE
    assert "asks for 300" in judged.sentence


def test_few_differences_are_inconclusive() -> None:
    """Too few rows on which the models differ are inconclusive."""
    few = measured(0.2, 0.001)
    assert few.interval is not None
    told = replace(few, interval=replace(few.interval, informative=9))
    judged = judge_gate(gate(metric="f1"), told)
    assert judged.outcome is GateOutcome.INCONCLUSIVE
    assert "differ on 9 of 1000 rows, and 10 are needed" in judged.sentence


def test_inconclusive_names_required_rows() -> None:
    """An inconclusive verdict says how many rows are enough."""
    judged = judge_gate(GATE, counted(672, 34, 33, 500))
    assert judged.outcome is GateOutcome.INCONCLUSIVE
    assert f"about {judged.required_rows} rows would be enough" in judged.sentence


def test_zero_margin_means_superiority() -> None:
    """A margin of zero asks for superiority and has no required rows."""
    strict = GATE.model_copy(update={"margin": 0.0})
    assert judge_gate(strict, counted(3000, 100, 200)).outcome is GateOutcome.PROMOTE
    assert judge_gate(strict, counted(3000, 150, 150)).required_rows is None


@given(st.floats(-0.1, 0.1), st.floats(1e-4, 0.05), st.floats(0, 0.05))
def test_interval_decides_the_outcome(difference: float, error: float, margin: float) -> None:
    """An interval above the margin promotes, below it rejects, and across it is inconclusive."""
    told = measured(difference, error)
    judged = judge_gate(gate(metric="f1", margin=margin), told)
    assert told.interval is not None
    if told.interval.lower > -margin:
        assert judged.outcome is GateOutcome.PROMOTE
    elif told.interval.upper < -margin:
        assert judged.outcome is GateOutcome.REJECT
    else:
        assert judged.outcome is GateOutcome.INCONCLUSIVE


@pytest.mark.parametrize("answer", ["promote", "reject"])
def test_policy_decides_without_champion(answer: str) -> None:
    """Without a champion the `without_champion` option decides."""
    alone = gate(without_champion=answer)
    judged = judge_gate(alone, EvaluationResult(10, "h", 0.8))
    assert (judged.outcome, judged.challenger, judged.lower) == (GateOutcome(answer), 0.8, None)
    assert (without_champion(alone).outcome, without_champion(alone).rows) == (GateOutcome(answer), 0)
    assert judge_gate(alone, counted(3000, 300, 0).alone()).outcome == answer


# --- slices -----------------------------------------------------------------------------------------------


def sliced(*p_values: float, judged: int | None = None, **changes: Any) -> SliceReport:
    worst = tuple(SliceFigure(f"region={n}", 100, -0.05, p) for n, p in enumerate(p_values))
    told: dict[str, Any] = {"columns": ("region",), "margin": 0.03, "min_rows": 50, "unjudged": 0}
    return SliceReport(judged=judged or len(p_values), worst=worst, **{**told, **changes})


def holm(p_values: list[float], alpha: float) -> set[int]:
    """Holm's procedure by its closure: a slice fails when Bonferroni rejects every set of slices that holds it."""
    everything = range(2 ** len(p_values))

    def fails(index: int) -> bool:
        sets = [[i for i in range(len(p_values)) if chosen >> i & 1] for chosen in everything if chosen >> index & 1]
        return all(min(p_values[i] for i in some) <= alpha / len(some) for some in sets)

    return {index for index in range(len(p_values)) if fails(index)}


@given(st.lists(st.sampled_from([0.001, 0.006, 0.009, 0.011, 0.014, 0.02, 0.03, 0.06]), min_size=1, max_size=7))
def test_slices_follow_holm(p_values: list[float]) -> None:
    """Slices fail by the procedure of Holm."""
    judged = judge_gate(gate(metric="f1", slices=SLICES), measured(0.2, 0.001, slices=sliced(*p_values)))
    failed = {int(item.name.split("=")[1]) for item in judged.slices if item.state is SliceState.WORSE}
    assert failed == holm(p_values, 1 - 0.95)
    assert judged.outcome is (GateOutcome.REJECT if failed else GateOutcome.PROMOTE)


def test_failing_slice_rejects() -> None:
    """A failing slice rejects, whatever all rows say, and is named."""
    judged = judge_gate(gate(metric="f1", slices=SLICES), measured(0.2, 0.001, slices=sliced(1e-6, 0.5, judged=40)))
    assert judged.outcome is GateOutcome.REJECT
    assert "worse on region=0 -5.00%, of 40 slices, where -3.00% is allowed" in judged.sentence


def test_more_slices_are_stricter() -> None:
    """With more slices each one needs stronger evidence to fail."""
    asked = gate(metric="f1", slices=SLICES)
    few, many = (judge_gate(asked, measured(0.2, 0.001, slices=sliced(0.01, judged=n))) for n in (5, 6))
    assert (few.outcome, many.outcome) == (GateOutcome.REJECT, GateOutcome.PROMOTE)


# --- floors -----------------------------------------------------------------------------------------------

FLOORS = [{"metric": "latency_ms", "at_most": 20.0}, {"metric": "F1", "at_least": 0.7}]


@pytest.mark.parametrize(
    ("figures", "outcome", "states"),
    [
        ({"latency_ms": 20.0}, GateOutcome.PROMOTE, (FloorState.HOLDS, FloorState.HOLDS)),
        ({"LatencyMs": 20.1}, GateOutcome.REJECT, (FloorState.VIOLATED, FloorState.HOLDS)),
        ({}, GateOutcome.INCONCLUSIVE, (FloorState.MISSING, FloorState.HOLDS)),
    ],
)
@pytest.mark.parametrize("opposed", [True, False])
def test_floors_apply_without_champion(
    figures: dict[str, float], outcome: GateOutcome, states: tuple[FloorState, ...], opposed: bool
) -> None:
    """Floors apply with and without a champion."""
    told = measured(0.2, 0.001, figures=figures)
    judged = judge_gate(gate(metric="f1", floors=FLOORS), told if opposed else told.alone())
    assert (judged.outcome, tuple(floor.state for floor in judged.floors)) == (outcome, states)


def test_missing_floor_does_not_protect() -> None:
    """A missing floor does not save a worse model from rejection."""
    assert judge_gate(gate(metric="f1", floors=FLOORS), measured(-0.2, 0.001)).outcome is GateOutcome.REJECT


def test_floors_without_evaluation() -> None:
    """Floors without any evaluation leave a first model inconclusive, unless the policy rejects it."""
    assert without_champion(gate(floors=FLOORS)).outcome is GateOutcome.INCONCLUSIVE
    assert without_champion(gate(floors=FLOORS, without_champion="reject")).outcome is GateOutcome.REJECT


# --- reports of another gate ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "wrong"),
    [
        ({"metric": "auc"}, "compares by f1"),
        ({"metric": "f1", "confidence": 0.99}, "0.95 confidence"),
        ({"metric": "f1", "block": "day"}, "depend by nothing, the gate by day"),
        ({"metric": "f1", "slices": {**SLICES, "columns": ["region", "age"]}}, "region, age"),
        ({"metric": "f1", "slices": {**SLICES, "margin": 0.01}}, "margin of 0.03"),
        ({"metric": "f1", "slices": {**SLICES, "min_rows": 20}}, "below 50 rows"),
    ],
)
def test_report_of_laxer_gate_refused(asked: dict[str, Any], wrong: str) -> None:
    """A report computed for another, laxer gate is refused."""
    with pytest.raises(InvalidEvaluation, match=wrong):
        judge_gate(gate(**asked), measured(0.2, 0.001, slices=sliced(0.5)))


def test_gate_with_slices_requires_slices() -> None:
    """A report without slices is refused by a gate with slices."""
    with pytest.raises(InvalidEvaluation, match="has no slices"):
        judge_gate(gate(slices=SLICES), counted(3000, 0, 300))


def test_gate_with_blocks_refuses_counts() -> None:
    """Counts are refused by a gate with blocks."""
    with pytest.raises(InvalidEvaluation, match="the gate by day"):
        judge_gate(gate(block="day"), counted(3000, 0, 300))


def test_wrong_sign_is_refused() -> None:
    """A difference with the wrong sign is refused."""
    error_metric = measured(0.1, 0.001, metric="mae")  # more error, and yet a positive difference
    with pytest.raises(InvalidEvaluation, match="positive is better"):
        judge_gate(gate(metric="mae"), error_metric)


def test_report_for_interim_analysis() -> None:
    """A report computed for one of several analyses passes its gate."""
    each = at_each_analysis(gate(metric="f1"))  # a third of the error: no number of digits holds it
    report = compare(classified(3000, errors=(0.3, 0.05)), each)
    assert judge_gate(each, report).outcome is GateOutcome.PROMOTE


def test_higher_confidence_is_accepted() -> None:
    """A report with more confidence than the gate asks for is accepted."""
    assert judge_gate(gate(metric="f1", confidence=0.9), measured(0.2, 0.001)).outcome is GateOutcome.PROMOTE


def test_verdict_survives_json() -> None:
    """A verdict survives JSON."""
    import json
    from dataclasses import asdict

    asked = gate(metric="f1", floors=FLOORS, slices=SLICES)
    judged = judge_gate(asked, measured(0.2, 0.001, slices=sliced(0.001, 0.5)))
    assert gate_result_of(json.loads(json.dumps(asdict(judged)))) == judged
