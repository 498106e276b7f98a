"""Guard-rails beside the comparison of all rows: slices that must not get worse, and absolute limits."""

from anew.core.gate.evaluation import EvaluationResult, SliceFigure, SliceReport
from anew.core.gate.metric import same_metric
from anew.core.gate.result import FloorState, FloorVerdict, SliceState, SliceVerdict
from anew.core.policies.gate import Floor, Gate


def judge_slices(gate: Gate, told: SliceReport | None) -> tuple[SliceVerdict, ...]:
    """The slices that were told, worst first, by Holm's step-down procedure over all that were judged.

    Holm (1979), "A Simple Sequentially Rejective Multiple Test Procedure", Scand. J. Stat. 6(2). Each slice is tested
    one-sided for being worse by more than the margin. Whatever the dependence between slices, the chance that any
    slice which is not is called worse is at most 1 - confidence. The other error is not controlled: a slice that did
    get worse is found only with rows enough. So a slice that holds was not shown to be worse; it was not shown to be
    as good.
    """
    if gate.slices is None or told is None:
        return ()
    alpha, standing = 1 - gate.confidence, True
    verdicts: list[SliceVerdict] = []
    for place, item in enumerate(sorted(told.worst, key=lambda each: each.p_value)):
        standing = standing and item.p_value <= alpha / (told.judged - place)
        verdicts.append(_verdict(item, SliceState.WORSE if standing else SliceState.HOLDS))
    return tuple(verdicts)


def judge_floors(floors: tuple[Floor, ...], result: EvaluationResult | None) -> tuple[FloorVerdict, ...]:
    """Each limit against the challenger's figure."""
    return tuple(_judge_floor(floor, _figure(floor.metric, result)) for floor in floors)


def _figure(metric: str, result: EvaluationResult | None) -> float | None:
    if result is None:
        return None
    if same_metric(metric, result.metric):
        return result.challenger
    return next((value for name, value in result.figures.items() if same_metric(metric, name)), None)


def _judge_floor(floor: Floor, value: float | None) -> FloorVerdict:
    if value is None:
        state = FloorState.MISSING
    else:
        low, high = floor.at_least, floor.at_most
        holds = (low is None or value >= low) and (high is None or value <= high)
        state = FloorState.HOLDS if holds else FloorState.VIOLATED
    return FloorVerdict(floor.metric, value, floor.at_least, floor.at_most, state)


def _verdict(item: SliceFigure, state: SliceState) -> SliceVerdict:
    return SliceVerdict(item.name, item.rows, item.difference, item.p_value, state)
