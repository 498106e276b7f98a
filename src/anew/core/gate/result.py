"""The gate's verdict, with the figures behind it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

from pydantic import TypeAdapter


class GateOutcome(StrEnum):
    """Inconclusive is not a pass."""

    PROMOTE = "promote"
    REJECT = "reject"
    INCONCLUSIVE = "inconclusive"


class SliceState(StrEnum):
    """A slice that holds was not shown to be worse."""

    HOLDS = "holds"
    WORSE = "worse"


class FloorState(StrEnum):
    """Whether a limit holds. Missing: the report has no such figure."""

    HOLDS = "holds"
    VIOLATED = "violated"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class SliceVerdict:
    """One slice, as `column=value`; difference is positive when the challenger is better there.

    p_value is of the test whether it is worse by more than the slices' margin, before Holm's correction.
    """

    name: str
    rows: int
    difference: float
    p_value: float
    state: SliceState


@dataclass(frozen=True, slots=True)
class FloorVerdict:
    """One limit, and the challenger's value."""

    metric: str
    value: float | None
    at_least: float | None
    at_most: float | None
    state: FloorState


@dataclass(frozen=True, slots=True)
class GateResult:
    """The verdict with its figures; sentence says why.

    challenger and champion are the metric's values, in its unit. difference, lower and upper are positive when the
    challenger is better: for an error such as MAE they are champion - challenger. lower and upper are one-sided bounds,
    each at the gate's confidence. p_value is of the two-sided test of no difference (McNemar's exact one for counts).
    required_rows is the number of rows with which two equally good models pass in 80 % of cases (for superiority: with
    which the difference seen does); None if no number is enough. slices has the worst ones, of slices_judged in all.
    scored_hash identifies both models' answers, as data_hash does the rows. Without an evaluation rows is 0, the
    hashes are empty and every figure is None.
    """

    outcome: GateOutcome
    sentence: str
    rows: int
    data_hash: str
    challenger: float | None = None
    champion: float | None = None
    difference: float | None = None
    lower: float | None = None
    upper: float | None = None
    margin: float | None = None
    required_rows: int | None = None
    metric: str = ""
    method: str | None = None
    p_value: float | None = None
    slices: tuple[SliceVerdict, ...] = ()
    slices_judged: int = 0
    floors: tuple[FloorVerdict, ...] = ()
    scored_hash: str = ""


def gate_result_of(stored: Mapping[str, Any]) -> GateResult:
    """The result, from what `dataclasses.asdict` and JSON made of it."""
    return _adapter().validate_python(stored)


@cache
def _adapter() -> TypeAdapter[GateResult]:
    return TypeAdapter(GateResult)
