"""The evidence of a decision: values that were measured, and sources that gave none.

A signal is a tuple, because a decision makes many of them and a frozen dataclass takes three times as long to make.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple


class Signal(NamedTuple):
    """One measured value about a model: from the event, a monitor's history, a query, or computed by anew.

    `rows` is the number of rows it was computed from, `error` its standard error. A value at or below `noise_floor`
    can be chance and says nothing. None where the source did not report it.
    """

    metric: str
    value: float | None
    source: str
    at: datetime
    feature: str | None = None
    threshold: float | None = None
    monitor: str | None = None
    rows: int | None = None
    noise_floor: float | None = None
    error: float | None = None


@dataclass(frozen=True, slots=True)
class Missing:
    """A source that the policy names and that gave no evidence, with the reason."""

    source: str
    reason: str


class Evidence(NamedTuple):
    """Everything one decision rests on."""

    signals: tuple[Signal, ...] = ()
    missing: tuple[Missing, ...] = ()
