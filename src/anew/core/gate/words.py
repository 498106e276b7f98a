"""The gate's verdicts in words."""

from anew.core.gate.metric import edge, format_metric
from anew.core.gate.result import FloorState, FloorVerdict, GateOutcome, GateResult, SliceState, SliceVerdict
from anew.core.policies.gate import Gate

_SLICES_NAMED = 3


def whole_in_words(gate: Gate, judged: GateResult, doubt: str) -> str:
    """The verdict on all rows, in one sentence. doubt says why the bounds cannot be trusted, or nothing."""
    if judged.difference is None or judged.lower is None or judged.upper is None:
        return doubt
    way = "better" if judged.difference > 0 else "worse"
    by = f"{way} by {format_metric(gate.metric, abs(judged.difference))}" if judged.difference else "equal"
    figures = f"challenger {by} in {gate.metric} on {judged.rows} rows"
    if doubt:
        return f"{figures}: {doubt}"
    lower, upper, limit = (
        format_metric(gate.metric, value, signed=True) for value in (judged.lower, judged.upper, edge(gate))
    )
    needed = "to be exceeded" if gate.kind == "superiority" else "allowed"
    condition = f"at {100 * gate.confidence:.4g}% confidence, and {limit} is {needed}"
    match judged.outcome:
        case GateOutcome.PROMOTE:
            return f"{figures}: no worse than {lower} {condition}"
        case GateOutcome.REJECT:
            return f"{figures}: at best {upper} {condition}"
        case GateOutcome.INCONCLUSIVE:
            rows = judged.required_rows
            more = f"; about {rows} rows would be enough" if rows is not None and rows > judged.rows else ""
            return f"{figures}: between {lower} and {upper} {condition}{more}"


def slices_in_words(gate: Gate, slices: tuple[SliceVerdict, ...], judged: int) -> str:
    """The slices that are shown to be worse, of so many that were judged; or nothing."""
    worse = [item for item in slices if item.state is SliceState.WORSE]
    if not worse or gate.slices is None:
        return ""
    named = ", ".join(
        f"{item.name} {format_metric(gate.metric, item.difference, signed=True)}" for item in worse[:_SLICES_NAMED]
    )
    others = f" and {len(worse) - _SLICES_NAMED} more" if len(worse) > _SLICES_NAMED else ""
    allowed = format_metric(gate.metric, -gate.slices.margin, signed=True)
    return f"worse on {named}{others}, of {judged} slices, where {allowed} is allowed"


def floors_in_words(floors: tuple[FloorVerdict, ...]) -> str:
    """The limits that do not hold, or nothing."""
    return "; ".join(_floor(floor) for floor in floors if floor.state is not FloorState.HOLDS)


def _floor(floor: FloorVerdict) -> str:
    measured = "was not measured" if floor.value is None else f"is {floor.value:.4g}"
    limit = f"at least {floor.at_least:.4g}" if floor.at_least is not None else f"at most {floor.at_most or 0:.4g}"
    return f"{floor.metric} {measured}, and must be {limit}"
