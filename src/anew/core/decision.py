"""Deciding whether to retrain: a pure function of policy, evidence, history and now, that returns its explanation."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """What a decision came to."""

    RETRAIN = "retrain"
    HOLD = "hold"
    INSUFFICIENT_EVIDENCE = "insufficient-evidence"


class Verdict(StrEnum):
    """What one rule of the tree said. Unknown means there was nothing to judge by: never a reason to retrain."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Node:
    """One rule of a decision: its verdict, one sentence for a person, the values compared, and the rules below it."""

    rule: str
    verdict: Verdict
    sentence: str
    values: Mapping[str, Any] = field(default_factory=dict[str, Any])
    children: tuple["Node", ...] = ()


@dataclass(frozen=True, slots=True)
class Signal:
    """One measured value about a model: from the event, from a monitor's tag, or from a query."""

    metric: str
    value: float | None
    source: str
    at: datetime
    feature: str | None = None
    threshold: float | None = None
    monitor: str | None = None


@dataclass(frozen=True, slots=True)
class Missing:
    """Evidence that was asked for and could not be had, with the reason."""

    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything one decision rests on."""

    signals: tuple[Signal, ...] = ()
    missing: tuple[Missing, ...] = ()


@dataclass(frozen=True, slots=True)
class History:
    """What the ledger knows of this model that bears on the decision."""

    last_retraining_at: datetime | None = None
    open_retraining: str | None = None


@dataclass(frozen=True, slots=True)
class Force:
    """A person asked for a retraining whatever the rules say."""

    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome with the tree that explains it."""

    outcome: Outcome
    tree: Node
