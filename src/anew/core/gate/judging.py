"""From figures to a verdict: promote, reject or inconclusive.

Comparing two point estimates promotes a slightly worse model about half the time, so the gate asks for a confidence
bound, and has a third answer for when the rows are too few to tell.
"""

import math
from dataclasses import dataclass, replace
from typing import Final

from anew.core.gate.evaluation import EvaluationResult, Interval, Method, PairedCounts
from anew.core.gate.guards import judge_floors, judge_slices
from anew.core.gate.metric import better_sign, same_metric
from anew.core.gate.result import FloorState, GateOutcome, GateResult, SliceState
from anew.core.gate.tails import mcnemar_p, normal_quantile, normal_tail, paired_bounds
from anew.core.gate.words import edge, floors_in_words, metrics_cannot_tell, slices_in_words, whole_in_words
from anew.core.policies.gate import Gate
from anew.errors import InvalidEvaluation

POWER: Final = 0.8  # the chance of a promotion that `required_rows` aims at
_ROUNDING: Final = 1e-8  # of figures in a report
_MOST_ROOT: Final = 1e6  # of rows: 1e12 of them are no number anybody has
LEAST_INFORMATIVE: Final = 10
"""Rows or blocks on which the models differ: fewer say too little about how they do, and resampling two models that
never differ would give bounds without any doubt. Counts of right answers need none: Bonett and Price add some."""


def judge_gate(gate: Gate, result: EvaluationResult) -> GateResult:
    """Promote, reject or inconclusive, by one-sided confidence bounds of the paired difference.

    A slice that is shown to be worse, or a floor that is violated, rejects whatever all rows together say. A floor
    nobody measured is inconclusive. Without a champion the policy's `without_champion` and the floors are the answer,
    however many rows there are.

    Raises InvalidEvaluation for a report that was computed for another gate: another metric, block or slices, or less
    confidence.
    """
    _refuse_another_gates(gate, result)
    whole = _judge_whole(gate, result) if result.champion is not None else _unopposed(gate, result)
    floors = judge_floors(gate.floors, result)
    slices = judge_slices(gate, result.slices)
    count = result.slices.judged if gate.slices and result.slices else 0
    return _with_guards(gate, replace(whole, floors=floors, slices=slices, slices_judged=count))


def without_champion(gate: Gate) -> GateResult:
    """The answer of a policy whose model no version serves yet, and that was not evaluated: there is nothing to compare
    with, and floors have not been measured.
    """
    said = GateResult(
        outcome=GateOutcome(gate.without_champion),
        sentence=f"no version is in production yet, and the policy says: {gate.without_champion}",
        rows=0,
        data_hash="",
        margin=gate.margin,
        metric=gate.metric,
        floors=judge_floors(gate.floors, None),
    )
    return _with_guards(gate, said)


def _unopposed(gate: Gate, result: EvaluationResult) -> GateResult:
    return replace(
        without_champion(gate.model_copy(update={"floors": ()})),
        rows=result.rows,
        data_hash=result.data_hash,
        scored_hash=result.scored_hash,
        challenger=result.challenger,
    )


def _with_guards(gate: Gate, judged: GateResult) -> GateResult:
    """The verdict on all rows, overruled by the slices and floors that do not hold."""
    states = {floor.state for floor in judged.floors}
    outcome = judged.outcome
    if FloorState.VIOLATED in states or any(item.state is SliceState.WORSE for item in judged.slices):
        outcome = GateOutcome.REJECT
    elif FloorState.MISSING in states and outcome is GateOutcome.PROMOTE:
        outcome = GateOutcome.INCONCLUSIVE
    said = (judged.sentence, slices_in_words(gate, judged), floors_in_words(judged.floors))
    return replace(judged, outcome=outcome, sentence="; ".join(part for part in said if part))


# --- is it about this gate? -------------------------------------------------------------------------------


def _refuse_another_gates(gate: Gate, result: EvaluationResult) -> None:
    if wrong := _mismatch(gate, result):
        raise InvalidEvaluation(f"the report in the tag anew_evaluation is not about the policy's gate: {wrong}")


def _mismatch(gate: Gate, result: EvaluationResult) -> str | None:
    if not same_metric(gate.metric, result.metric):
        return f"it compares by {result.metric}, the gate by {gate.metric}"
    if result.champion is None or result.from_metrics:
        return None
    if gate.block != result.block:
        return f"it takes rows to depend by {result.block or 'nothing'}, the gate by {gate.block or 'nothing'}"
    if result.interval and (wrong := _wrong_interval(gate, result, result.interval)):
        return wrong
    return _other_slices(gate, result)


def _wrong_interval(gate: Gate, result: EvaluationResult, interval: Interval) -> str | None:
    if interval.confidence < gate.confidence - _ROUNDING:
        return f"its bounds have {interval.confidence:.4g} confidence, the gate asks for {gate.confidence:.4g}"
    expected = better_sign(gate) * (result.challenger - (result.champion or 0.0))
    if not math.isclose(expected, interval.difference, rel_tol=1e-4, abs_tol=1e-6 * max(1.0, abs(result.challenger))):
        return f"its difference is {interval.difference:.6g}, by its values it is {expected:.6g} (positive is better)"
    return None


def _other_slices(gate: Gate, result: EvaluationResult) -> str | None:
    asked, told = gate.slices, result.slices
    if asked is None:
        return None
    if told is None:
        return f"it tells of no slices, the gate asks for those of {', '.join(asked.columns)}"
    if set(told.columns) != set(asked.columns):
        return f"its slices are those of {', '.join(told.columns)}, the gate asks for {', '.join(asked.columns)}"
    if not math.isclose(told.margin, asked.margin, rel_tol=1e-6, abs_tol=1e-12):
        return f"its slices are held against a margin of {told.margin:.4g}, the gate's is {asked.margin:.4g}"
    if told.min_rows > asked.min_rows:
        return f"it leaves out slices below {told.min_rows} rows, the gate those below {asked.min_rows}"
    return None


# --- all rows ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Bounds:
    difference: float
    lower: float
    upper: float
    method: Method
    p_value: float
    variance: float  # of the difference, times rows


def _judge_whole(gate: Gate, result: EvaluationResult) -> GateResult:
    bounds = _bounds(gate, result)
    doubt = _doubt(gate, result, bounds)
    judged = GateResult(
        outcome=GateOutcome.INCONCLUSIVE if doubt or bounds is None else _outcome(gate, bounds),
        sentence="",
        rows=result.rows,
        data_hash=result.data_hash,
        scored_hash=result.scored_hash,
        challenger=result.challenger,
        champion=result.champion,
        margin=gate.margin,
        metric=gate.metric,
    )
    if bounds is not None:
        judged = replace(
            judged,
            difference=bounds.difference,
            lower=bounds.lower,
            upper=bounds.upper,
            method=str(bounds.method),
            p_value=bounds.p_value,
            required_rows=None if _says_little(result) else _required_rows(gate, bounds),
        )
    return replace(judged, sentence=whole_in_words(gate, judged, doubt))


def _bounds(gate: Gate, result: EvaluationResult) -> _Bounds | None:
    if result.interval is not None:
        return _bounds_of_interval(result.interval, result.rows)
    if result.counts is not None:
        return _bounds_of_counts(gate, result.counts, result)
    return None


def _bounds_of_interval(told: Interval, rows: int) -> _Bounds:
    error = told.standard_error
    p_value = 2 * normal_tail(-abs(told.difference) / error) if error else float(told.difference == 0)
    return _Bounds(told.difference, told.lower, told.upper, told.method, p_value, error * error * rows)


def _bounds_of_counts(gate: Gate, counts: PairedCounts, result: EvaluationResult) -> _Bounds:
    worse, better, rows = counts.only_champion, counts.only_challenger, result.rows
    lower, upper = paired_bounds(worse, better, rows, gate.confidence)
    return _Bounds(
        difference=(better - worse) / rows,
        lower=lower,
        upper=upper,
        method=Method.LARGEST_DISAGREEMENT if result.from_metrics else Method.BONETT_PRICE,
        p_value=mcnemar_p(worse, better),
        variance=(worse + better + 2) / (rows + 2),
    )


def _doubt(gate: Gate, result: EvaluationResult, bounds: _Bounds | None) -> str:
    """Why the bounds are not to be trusted, or nothing."""
    if result.from_metrics and (unknown := metrics_cannot_tell(gate, result)):
        return unknown
    if bounds is None:
        return "the report has no bounds"
    if result.rows < gate.min_rows:
        return f"the policy asks for {gate.min_rows}"
    told = result.interval
    if told is not None and _says_little(result):
        what = f"blocks of {gate.block}" if gate.block else "rows"
        return f"the models differ on {told.informative} of {told.units} {what}, and {LEAST_INFORMATIVE} are needed"
    return ""


def _says_little(result: EvaluationResult) -> bool:
    informative = result.interval.informative if result.interval else None
    return informative is not None and informative < LEAST_INFORMATIVE


def _outcome(gate: Gate, bounds: _Bounds) -> GateOutcome:
    limit = edge(gate)
    if bounds.lower > limit:
        return GateOutcome.PROMOTE
    return GateOutcome.REJECT if bounds.upper < limit else GateOutcome.INCONCLUSIVE


def _required_rows(gate: Gate, bounds: _Bounds) -> int | None:
    """Normal approximation: (z_confidence + z_power)^2 * variance / distance^2.

    The distance is the one from the limit to a true difference of 0, or for superiority to the difference seen. For
    accuracy the variance at a difference of 0 is the share of rows on which one model alone is right.
    """
    distance = bounds.difference - gate.margin if gate.kind == "superiority" else gate.margin
    if distance <= 0:
        return None
    reach = normal_quantile(gate.confidence) + normal_quantile(POWER)
    root = reach * math.sqrt(bounds.variance) / distance
    return max(gate.min_rows, math.ceil(root * root)) if root < _MOST_ROOT else None
