"""What a decision rests on: measured values, and what could not be measured.

A signal is a tuple, because a decision makes many and a frozen dataclass takes three times as long to make.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple


class Signal(NamedTuple):
    """One measured value about a model: from the event, a monitor's history, a query, or computed by anew.

    `rows` it was computed from, and the standard `error` of the value; at or below `noise_floor` it says nothing,
    because so much comes about by chance. None where nobody said.
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
    """Evidence that was asked for and could not be had, with the reason."""

    source: str
    reason: str


class Evidence(NamedTuple):
    """Everything one decision rests on."""

    signals: tuple[Signal, ...] = ()
    missing: tuple[Missing, ...] = ()
