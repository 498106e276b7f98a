"""The gate's verdicts in words."""

from anew.core.gate.evaluation import EvaluationResult
from anew.core.gate.metric import format_metric
from anew.core.gate.result import FloorState, FloorVerdict, GateOutcome, GateResult, SliceState
from anew.core.policies.gate import Gate

_SLICES_SAID = 3


def whole_in_words(gate: Gate, judged: GateResult, doubt: str) -> str:
    """All rows, in one sentence. doubt is what keeps the bounds from being trusted, or nothing."""
    if judged.difference is None or judged.lower is None or judged.upper is None:
        return doubt
    figures = f"challenger {_better(gate, judged.difference)} on {judged.rows} rows"
    if doubt:
        return f"{figures}: {doubt}"
    lower, upper, limit = (
        format_metric(gate.metric, value, signed=True) for value in (judged.lower, judged.upper, edge(gate))
    )
    asked = f"at {100 * gate.confidence:.4g}% confidence, and {limit} is {_asked(gate)}"
    match judged.outcome:
        case GateOutcome.PROMOTE:
            return f"{figures}: no worse than {lower} {asked}"
        case GateOutcome.REJECT:
            return f"{figures}: at best {upper} {asked}"
        case GateOutcome.INCONCLUSIVE:
            return f"{figures}: between {lower} and {upper} {asked}{_more(judged)}"


def edge(gate: Gate) -> float:
    """The difference that the bounds are held against."""
    return gate.margin if gate.kind == "superiority" else -gate.margin


def slices_in_words(gate: Gate, judged: GateResult) -> str:
    """The slices that are shown to be worse, or nothing."""
    worse = [item for item in judged.slices if item.state is SliceState.WORSE]
    if not worse or gate.slices is None:
        return ""
    said = [f"{item.name} {format_metric(gate.metric, item.difference, signed=True)}" for item in worse[:_SLICES_SAID]]
    others = f" and {len(worse) - _SLICES_SAID} more" if len(worse) > _SLICES_SAID else ""
    allowed = format_metric(gate.metric, -gate.slices.margin, signed=True)
    return f"worse on {', '.join(said)}{others}, of {judged.slices_judged} slices, where {allowed} is allowed"


def floors_in_words(floors: tuple[FloorVerdict, ...]) -> str:
    """The limits that do not hold, or nothing."""
    return "; ".join(_floor(floor) for floor in floors if floor.state is not FloorState.HOLDS)


def metrics_cannot_tell(gate: Gate, result: EvaluationResult) -> str:
    """What averages alone leave open, or nothing."""
    if gate.block is not None or gate.slices is not None:
        return "the training run left averages only, which say nothing of blocks and slices"
    if result.interval is None and result.counts is None:
        return (
            f"the training run left no standard error of the difference in {gate.metric}"
            f" (metric challenger_{gate.metric}_minus_champion_se)"
        )
    return ""


def _better(gate: Gate, difference: float) -> str:
    if difference == 0:
        return f"equal in {gate.metric}"
    way = "better" if difference > 0 else "worse"
    return f"{way} by {format_metric(gate.metric, abs(difference))} in {gate.metric}"


def _asked(gate: Gate) -> str:
    return "to be exceeded" if gate.kind == "superiority" else "allowed"


def _more(judged: GateResult) -> str:
    needed = judged.required_rows
    return f"; about {needed} rows would tell" if needed is not None and needed > judged.rows else ""


def _floor(floor: FloorVerdict) -> str:
    limit = f"at least {floor.at_least:.4g}" if floor.at_least is not None else f"at most {floor.at_most or 0:.4g}"
    if floor.value is None:
        return f"{floor.metric} was not measured, and must be {limit}"
    return f"{floor.metric} is {floor.value:.4g}, and must be {limit}"
