"""From an evaluation to a verdict: promote, reject or inconclusive.

Comparing two point estimates promotes a slightly worse model about half the time. So the gate asks for a confidence
bound, and has a third answer for when there are too few rows to decide.
"""

import math
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Final

from anew.core.gate.evaluation import EvaluationResult, Interval, Method, SliceReport
from anew.core.gate.metric import better_sign, edge, same_metric
from anew.core.gate.result import FloorState, FloorVerdict, GateOutcome, GateResult, SliceState, SliceVerdict
from anew.core.gate.words import floors_in_words, slices_in_words, whole_in_words
from anew.core.policies.gate import Floor, Gate
from anew.errors import InvalidEvaluation

POWER: Final = 0.8  # the chance of a promotion that `required_rows` aims at
_ROUNDING: Final = 1e-8  # of figures in a report
_MOST_ROOT: Final = 1e6  # of rows: nobody has 1e12 of them
LEAST_INFORMATIVE: Final = 10
"""Rows or blocks on which the models differ. Fewer say too little about how they differ, and resampling two models that
never differ would give bounds without any uncertainty. Counts need no minimum: Bonett and Price add some."""


def judge_gate(gate: Gate, result: EvaluationResult) -> GateResult:
    """Promote, reject or inconclusive, by one-sided confidence bounds of the paired difference.

    A slice that is shown to be worse, or a floor that is violated, rejects whatever the bounds over all rows are. A
    floor without a figure is inconclusive. Without a champion the policy's `without_champion` and the floors decide,
    however many rows there are.

    Raises InvalidEvaluation for a report that was computed for another gate: another metric, block or slices, or less
    confidence.
    """
    if wrong := _mismatch(gate, result):
        raise InvalidEvaluation(f"the report in the tag anew_evaluation is not about the policy's gate: {wrong}")
    whole = _judge_all_rows(gate, result) if result.champion is not None else _unopposed(gate, result)
    return _with_guards(gate, whole, result)


def without_champion(gate: Gate) -> GateResult:
    """The verdict on a model that has no version in production yet and was not evaluated: it was compared with nothing,
    and its floors have no figures.
    """
    return _with_guards(gate, _unopposed(gate, None), None)


# --- interim analyses -------------------------------------------------------------------------------------


def most_analyses(gate: Gate) -> int:
    """The greatest number of interim analyses of one candidate, while an inconclusive gate waits for more rows."""
    return max(1, math.ceil(gate.inconclusive.keep_for / gate.inconclusive.every))


def at_each_analysis(gate: Gate) -> Gate:
    """The gate for each interim analysis, so that all of them together keep its confidence.

    A candidate exactly the margin worse has a chance of 5 % to pass each analysis: over three with fresh rows it passes
    in 14 % of cases. So each gets an equal share of the error (Bonferroni), which holds whatever rows they have in
    common.
    """
    confidence = 1 - (1 - gate.confidence) / most_analyses(gate)
    return gate.model_copy(update={"confidence": confidence})


# --- is it about this gate? -------------------------------------------------------------------------------


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
        return f"it has no slices, the gate asks for those of {', '.join(asked.columns)}"
    if set(told.columns) != set(asked.columns):
        return f"its slices are those of {', '.join(told.columns)}, the gate asks for {', '.join(asked.columns)}"
    if not math.isclose(told.margin, asked.margin, rel_tol=1e-6, abs_tol=1e-12):
        return f"its slices are compared with a margin of {told.margin:.4g}, the gate's is {asked.margin:.4g}"
    if told.min_rows > asked.min_rows:
        return f"it leaves out slices below {told.min_rows} rows, the gate those below {asked.min_rows}"
    return None


# --- all rows ---------------------------------------------------------------------------------------------


def _unopposed(gate: Gate, result: EvaluationResult | None) -> GateResult:
    return GateResult(
        outcome=GateOutcome(gate.without_champion),
        sentence=f"no version is in production yet, and the policy says: {gate.without_champion}",
        rows=result.rows if result else 0,
        data_hash=result.data_hash if result else "",
        scored_hash=result.scored_hash if result else "",
        challenger=result.challenger if result else None,
        margin=gate.margin,
        metric=gate.metric,
    )


@dataclass(frozen=True, slots=True)
class _Bounds:
    difference: float
    lower: float
    upper: float
    method: Method
    p_value: float
    variance: float  # of the difference, times rows


def _judge_all_rows(gate: Gate, result: EvaluationResult) -> GateResult:
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
            required_rows=None if _is_uninformative(result) else _required_rows(gate, bounds),
        )
    return replace(judged, sentence=whole_in_words(gate, judged, doubt))


def _bounds(gate: Gate, result: EvaluationResult) -> _Bounds | None:
    if (told := result.interval) is not None:
        error = told.standard_error
        p_value = math.erfc(abs(told.difference) / error / math.sqrt(2)) if error else float(told.difference == 0)
        return _Bounds(told.difference, told.lower, told.upper, told.method, p_value, error * error * result.rows)
    if (counts := result.counts) is not None:
        # Every command imports this module, and scipy would slow their start.
        from anew.core.statistics.binomial import mcnemar_p, paired_bounds

        worse, better, rows = counts.only_champion, counts.only_challenger, result.rows
        lower, upper = paired_bounds(worse, better, rows, gate.confidence)
        method = Method.LARGEST_DISAGREEMENT if result.from_metrics else Method.BONETT_PRICE
        variance = (worse + better + 2) / (rows + 2)
        return _Bounds((better - worse) / rows, lower, upper, method, mcnemar_p(worse, better), variance)
    return None


def _doubt(gate: Gate, result: EvaluationResult, bounds: _Bounds | None) -> str:
    """Why the bounds cannot be trusted, or nothing."""
    if result.from_metrics and (gate.block is not None or gate.slices is not None):
        return "the training run left averages only, which say nothing of blocks and slices"
    if bounds is None and result.from_metrics:
        return (
            f"the training run left no standard error of the difference in {gate.metric}"
            f" (metric challenger_{gate.metric}_minus_champion_se)"
        )
    if bounds is None:
        return "the report has no bounds"
    if result.rows < gate.min_rows:
        return f"the policy asks for {gate.min_rows}"
    if result.interval is not None and _is_uninformative(result):
        units = f"{result.interval.units} {f'blocks of {gate.block}' if gate.block else 'rows'}"
        return f"the models differ on {result.interval.informative} of {units}, and {LEAST_INFORMATIVE} are needed"
    return ""


def _is_uninformative(result: EvaluationResult) -> bool:
    informative = result.interval.informative if result.interval else None
    return informative is not None and informative < LEAST_INFORMATIVE


def _outcome(gate: Gate, bounds: _Bounds) -> GateOutcome:
    if bounds.lower > edge(gate):
        return GateOutcome.PROMOTE
    return GateOutcome.REJECT if bounds.upper < edge(gate) else GateOutcome.INCONCLUSIVE


def _required_rows(gate: Gate, bounds: _Bounds) -> int | None:
    """Normal approximation: (z_confidence + z_power)^2 * variance / distance^2.

    The distance is the one from the limit to a true difference of 0, or for superiority to the difference seen. For
    accuracy the variance at a difference of 0 is the share of rows on which one model alone is right.
    """
    distance = bounds.difference - gate.margin if gate.kind == "superiority" else gate.margin
    if distance <= 0:
        return None
    reach = NormalDist().inv_cdf(gate.confidence) + NormalDist().inv_cdf(POWER)
    root = reach * math.sqrt(bounds.variance) / distance
    return max(gate.min_rows, math.ceil(root * root)) if root < _MOST_ROOT else None


# --- slices and floors ------------------------------------------------------------------------------------


def _with_guards(gate: Gate, judged: GateResult, result: EvaluationResult | None) -> GateResult:
    """The verdict on all rows, overruled by the slices and floors that do not hold."""
    floors = tuple(_judge_floor(floor, result) for floor in gate.floors)
    told = result.slices if gate.slices and result else None
    slices = _judge_slices(told, 1 - gate.confidence) if told else ()
    states = {item.state for item in (*floors, *slices)}
    outcome = judged.outcome
    if states & {FloorState.VIOLATED, SliceState.WORSE}:
        outcome = GateOutcome.REJECT
    elif FloorState.MISSING in states and outcome is GateOutcome.PROMOTE:
        outcome = GateOutcome.INCONCLUSIVE
    said = (judged.sentence, slices_in_words(gate, slices, told.judged if told else 0), floors_in_words(floors))
    return replace(
        judged,
        outcome=outcome,
        sentence="; ".join(part for part in said if part),
        floors=floors,
        slices=slices,
        slices_judged=told.judged if told else 0,
    )


def _judge_slices(told: SliceReport, alpha: float) -> tuple[SliceVerdict, ...]:
    """The slices of the report, worst first, by Holm's step-down procedure over all that were judged.

    Holm (1979), "A Simple Sequentially Rejective Multiple Test Procedure", Scand. J. Stat. 6(2). Each slice is tested
    one-sided for being worse by more than the margin. However the slices depend on each other, the chance that any
    slice is wrongly called worse is at most alpha. The other error is not controlled: a slice that did get worse is
    found only with enough rows. So a slice that holds was not shown to be worse; it was not shown to be as good.
    """
    failing = True
    verdicts: list[SliceVerdict] = []
    for place, item in enumerate(sorted(told.worst, key=lambda each: each.p_value)):
        failing = failing and item.p_value <= alpha / (told.judged - place)
        state = SliceState.WORSE if failing else SliceState.HOLDS
        verdicts.append(SliceVerdict(item.name, item.rows, item.difference, item.p_value, state))
    return tuple(verdicts)


def _judge_floor(floor: Floor, result: EvaluationResult | None) -> FloorVerdict:
    """The limit against the challenger's figure of that metric."""
    figures = [(result.metric, result.challenger), *result.figures.items()] if result else []
    value = next((value for name, value in figures if same_metric(floor.metric, name)), None)
    if value is None:
        state = FloorState.MISSING
    else:
        low, high = floor.at_least, floor.at_most
        holds = (low is None or value >= low) and (high is None or value <= high)
        state = FloorState.HOLDS if holds else FloorState.VIOLATED
    return FloorVerdict(floor.metric, value, floor.at_least, floor.at_most, state)
