"""What an evaluation measured: the figures that the gate is judged from, without the rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum


class Method(StrEnum):
    """How the bounds of the difference were had."""

    BONETT_PRICE = "bonett-price"
    DELONG = "delong"
    CLUSTERED_DELONG = "clustered-delong"
    PAIRED_BOOTSTRAP = "paired-bootstrap"
    BLOCK_BOOTSTRAP = "block-bootstrap"
    LARGEST_DISAGREEMENT = "largest-disagreement"
    STANDARD_ERROR = "standard-error"


@dataclass(frozen=True, slots=True)
class PairedCounts:
    """Right answers on the same rows; only_champion counts those that the champion alone got right."""

    challenger_correct: int
    champion_correct: int
    only_champion: int
    only_challenger: int


@dataclass(frozen=True, slots=True)
class Interval:
    """One-sided bounds of the difference, each at this confidence; positive means that the challenger is better.

    units counts what is independent of each other, rows or blocks, and informative those of them on which the two
    models differ; None when nobody counted.
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
    p-values, which is all that Holm's procedure needs to find the first that fail.
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

    challenger and champion are in the metric's unit; the champion's, counts and interval are None when none serves
    yet. figures are the challenger's other values, for floors. from_metrics: nobody saw the rows, only averages.
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
        """What it says of the challenger only, for when no champion serves."""
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
