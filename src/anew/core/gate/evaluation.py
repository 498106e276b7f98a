"""What an evaluation measured: the figures that the gate is judged from, without the rows."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from statistics import NormalDist

from anew.core.base.metrics import canonical_metric
from anew.core.gate.metric import GateMetric, better_sign, metric_named
from anew.core.policies.gate import Gate
from anew.errors import InvalidEvaluation


class Method(StrEnum):
    """How the bounds of the difference were computed."""

    BONETT_PRICE = "bonett-price"
    DELONG = "delong"
    CLUSTERED_DELONG = "clustered-delong"
    PAIRED_BOOTSTRAP = "paired-bootstrap"
    BLOCK_BOOTSTRAP = "block-bootstrap"
    LARGEST_DISAGREEMENT = "largest-disagreement"
    STANDARD_ERROR = "standard-error"


@dataclass(frozen=True, slots=True)
class PairedCounts:
    """Right answers on the same rows; only_champion counts the rows that the champion alone got right."""

    challenger_correct: int
    champion_correct: int
    only_champion: int
    only_challenger: int


@dataclass(frozen=True, slots=True)
class Interval:
    """One-sided bounds of the difference, each at this confidence; positive means that the challenger is better.

    units is the number of independent units, rows or blocks; informative is the number of those on which the two models
    differ. Both are None if they were not counted.
    """

    difference: float
    lower: float
    upper: float
    confidence: float
    method: Method
    standard_error: float
    units: int | None = None
    informative: int | None = None


@dataclass(frozen=True, slots=True)
class SliceFigure:
    """One slice, as `column=value`. p_value: of the one-sided test that it is worse by more than the margin."""

    name: str
    rows: int
    difference: float
    p_value: float


@dataclass(frozen=True, slots=True)
class SliceReport:
    """The slices of these columns. `judged` were tested, `unjudged` could not be; worst are those with the smallest
    p-values. Holm's procedure needs only those to find the slices that fail.
    """

    columns: tuple[str, ...]
    margin: float
    min_rows: int
    judged: int
    unjudged: int
    worst: tuple[SliceFigure, ...] = ()


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """One metric of both models over the same `rows` rows, whose content hashes to data_hash.

    challenger and champion are in the metric's unit. champion, counts and interval are None when no version is in
    production yet. figures are the challenger's other values, for floors. from_metrics: only averages are known.
    """

    rows: int
    data_hash: str
    challenger: float
    champion: float | None = None
    metric: str = "accuracy"
    counts: PairedCounts | None = None
    interval: Interval | None = None
    block: str | None = None
    slices: SliceReport | None = None
    figures: Mapping[str, float] = field(default_factory=dict[str, float])
    scored_hash: str = ""
    from_metrics: bool = False

    def alone(self) -> "EvaluationResult":
        """The challenger's part of it, for when no champion serves."""
        return replace(self, champion=None, counts=None, interval=None, slices=None)


def evaluation_of_counts(rows: int, data_hash: str, counts: PairedCounts) -> EvaluationResult:
    """An evaluation by accuracy."""
    return EvaluationResult(
        rows=rows,
        data_hash=data_hash,
        challenger=counts.challenger_correct / rows,
        champion=counts.champion_correct / rows,
        counts=counts,
    )


# --- from averages only -----------------------------------------------------------------------------------


def evaluation_of_metrics(metrics: Mapping[str, float], gate: Gate) -> EvaluationResult:
    """The evaluation by the MLflow metrics of a training run: `challenger_<metric>`, `champion_<metric>` (absent when
    no version is in production) and `rows`.

    For accuracy the two models are assumed to disagree as often as their accuracies allow, which gives the widest
    bounds. Other metrics have bounds only with `challenger_<metric>_minus_champion_se`, the standard error of the
    paired difference; without it the gate can only be inconclusive. Floors use `challenger_<name>`, or else `<name>`.

    Raises InvalidEvaluation when challenger or rows are missing, and for an accuracy outside 0..1.
    """
    known = {canonical_metric(name): value for name, value in metrics.items()}
    challenger, rows = _needed(known, f"challenger_{gate.metric}"), int(_needed(known, "rows"))
    champion = known.get(canonical_metric(f"champion_{gate.metric}"))
    if rows < 1:
        raise InvalidEvaluation(f"the training run's metric rows is {rows}")
    counts = interval = None
    if champion is not None:
        if metric_named(gate.metric) is GateMetric.ACCURACY:
            counts = _most_disagreement(challenger, champion, rows)
        error = known.get(canonical_metric(f"challenger_{gate.metric}_minus_champion_se"), 0.0)
        if 0 < error < math.inf:
            difference = better_sign(gate) * (challenger - champion)
            reach = NormalDist().inv_cdf(gate.confidence) * error
            bounds = difference - reach, difference + reach
            interval = Interval(difference, *bounds, gate.confidence, Method.STANDARD_ERROR, error)
    return EvaluationResult(
        rows=rows,
        data_hash="",
        challenger=challenger,
        champion=champion,
        metric=gate.metric,
        counts=counts,
        interval=interval,
        figures=_floor_figures(known, gate),
        from_metrics=True,
    )


def _needed(known: Mapping[str, float], name: str) -> float:
    value = known.get(canonical_metric(name))
    if value is None or not math.isfinite(value):
        raise InvalidEvaluation(f"the training run left no metric {name}, which the gate needs")
    return value


def _floor_figures(known: Mapping[str, float], gate: Gate) -> dict[str, float]:
    found = {
        floor.metric: known.get(
            canonical_metric(f"challenger_{floor.metric}"), known.get(canonical_metric(floor.metric))
        )
        for floor in gate.floors
    }
    return {name: value for name, value in found.items() if value is not None}


def _most_disagreement(challenger: float, champion: float, rows: int) -> PairedCounts:
    """The counts of these accuracies with as few rows as possible that both models get right, or both get wrong."""
    if not (0 <= challenger <= 1 and 0 <= champion <= 1):
        raise InvalidEvaluation(f"accuracies are shares, not {challenger:g} and {champion:g}")
    right, champion_right = round(challenger * rows), round(champion * rows)
    both = max(0, right + champion_right - rows)
    return PairedCounts(right, champion_right, champion_right - both, right - both)
