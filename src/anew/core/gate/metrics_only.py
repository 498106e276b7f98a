"""An evaluation of which only averages are known: the MLflow metrics that a training run left."""

from collections.abc import Mapping
from typing import Final

from anew.core.base.metrics import canonical_metric
from anew.core.gate.evaluation import EvaluationResult, Interval, Method, PairedCounts
from anew.core.gate.metric import Metric, better_sign, metric_named
from anew.core.gate.tails import normal_quantile
from anew.core.policies.gate import Gate
from anew.errors import InvalidEvaluation

_CHALLENGER: Final = "challenger_"
_CHAMPION: Final = "champion_"


def evaluation_of_metrics(metrics: Mapping[str, float], gate: Gate) -> EvaluationResult:
    """The evaluation by the metrics `challenger_<metric>`, `champion_<metric>` (absent when none serves) and `rows`.

    For accuracy the two models are taken to disagree as often as their accuracies allow, which makes the bounds as wide
    as they can be. Other metrics have bounds only if `challenger_<metric>_minus_champion_se`, the standard error of the
    paired difference, is there; without it the gate can only be inconclusive. Floors look at `challenger_<name>`, then
    at `<name>`.

    Raises InvalidEvaluation when challenger or rows are missing, or an accuracy is none.
    """
    known = {canonical_metric(name): value for name, value in metrics.items()}
    challenger, rows = (_needed(known, name) for name in (_CHALLENGER + gate.metric, "rows"))
    champion = known.get(canonical_metric(_CHAMPION + gate.metric))
    counts = None
    if champion is not None and metric_named(gate.metric) is Metric.ACCURACY:
        counts = _most_disagreement(challenger, champion, int(rows))
    return EvaluationResult(
        rows=int(rows),
        data_hash="",
        challenger=challenger,
        champion=champion,
        metric=gate.metric,
        counts=counts,
        interval=_interval(known, gate, challenger, champion),
        figures=_figures(known, gate),
        from_metrics=True,
    )


def _needed(known: Mapping[str, float], name: str) -> float:
    value = known.get(canonical_metric(name))
    if value is None or not abs(value) < float("inf"):
        raise InvalidEvaluation(f"the training run left no metric {name}, which the gate needs")
    if name == "rows" and value < 1:
        raise InvalidEvaluation(f"the training run's metric rows is {value:g}")
    return value


def _most_disagreement(challenger: float, champion: float, rows: int) -> PairedCounts:
    """The counts of these accuracies with as few rows as possible that both models get right, or both get wrong."""
    if not (0 <= challenger <= 1 and 0 <= champion <= 1):
        raise InvalidEvaluation(f"accuracies are shares, not {challenger:g} and {champion:g}")
    right, champion_right = round(challenger * rows), round(champion * rows)
    both = max(0, right + champion_right - rows)
    return PairedCounts(right, champion_right, champion_right - both, right - both)


def _interval(known: Mapping[str, float], gate: Gate, challenger: float, champion: float | None) -> Interval | None:
    error = known.get(canonical_metric(f"{_CHALLENGER}{gate.metric}_minus_champion_se"))
    if champion is None or error is None or not 0 < error < float("inf"):
        return None
    difference = better_sign(gate) * (challenger - champion)
    reach = normal_quantile(gate.confidence) * error
    return Interval(difference, difference - reach, difference + reach, gate.confidence, Method.STANDARD_ERROR, error)


def _figures(known: Mapping[str, float], gate: Gate) -> dict[str, float]:
    figures: dict[str, float] = {}
    for floor in gate.floors:
        value = known.get(canonical_metric(_CHALLENGER + floor.metric), known.get(canonical_metric(floor.metric)))
        if value is not None:
            figures[floor.metric] = value
    return figures
