"""The values of a decision: what it rests on, what it came to, and the tree that explains it.

What is made for every decision is a tuple: a frozen dataclass takes three times as long to make.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from itertools import takewhile
from typing import Any, NamedTuple


class Outcome(StrEnum):
    """What a decision came to."""

    RETRAIN = "retrain"
    ROLL_BACK = "roll_back"  # the version before comes back, and is given a chance before another is trained
    HOLD = "hold"
    BLOCKED = "blocked"  # the data or its monitor is bad: training on it would make things worse
    INSUFFICIENT = "insufficient"  # the evidence at hand cannot tell
    ERROR = "error"  # a rule could not be evaluated; somebody has to look


class Verdict(StrEnum):
    """What one rule of the tree said. Unknown means there was nothing to judge by, error that judging failed:
    neither is ever a reason to retrain.
    """

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"
    ERROR = "error"


class Node:
    """One rule of a decision: its verdict, one sentence for a person, the values compared, and the rules below it.

    The sentence and the values may be given as functions. They are called when somebody looks, because most
    decisions are made and never read: of many thousands a second, a person reads one.
    """

    __slots__ = ("_sentence", "_values", "children", "rule", "verdict")

    def __init__(
        self,
        rule: str,
        verdict: Verdict,
        sentence: str | Callable[[], str],
        values: Mapping[str, Any] | Callable[[], Mapping[str, Any]] | None = None,
        children: tuple["Node", ...] = (),
    ) -> None:
        self.rule = rule
        self.verdict = verdict
        self.children = children
        self._sentence = sentence
        self._values = values

    @property
    def sentence(self) -> str:
        """One sentence that says what was compared with what."""
        if not isinstance(self._sentence, str):
            self._sentence = self._sentence()
        return self._sentence

    @property
    def values(self) -> Mapping[str, Any]:
        """The values compared, as JSON data."""
        if self._values is None:
            self._values = {}
        elif not isinstance(self._values, Mapping):
            self._values = self._values()
        return self._values

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Node) and self._content() == other._content()

    def __hash__(self) -> int:
        return hash((self.rule, self.verdict, self.sentence))

    def __repr__(self) -> str:
        return f"Node({self.rule!r}, {self.verdict!r}, {self.sentence!r}, children={self.children!r})"

    def _content(self) -> tuple[Any, ...]:
        return self.rule, self.verdict, self.sentence, dict(self.values), self.children


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


class AttemptState(StrEnum):
    """How an earlier retraining of the model ended, as far as limits care."""

    OPEN = "open"
    REGISTERED = "registered"
    REJECTED = "rejected"  # its candidate did not pass the gate
    FAILED = "failed"
    SUPERSEDED = "superseded"  # given up for a newer one, which its cooldown must not hold up


@dataclass(frozen=True, slots=True)
class Attempt:
    """One retraining of the model. `charge` is what the budget was charged with, None when nobody noted it."""

    id: str
    at: datetime
    state: AttemptState
    charge: float | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """The newest version of the model that its release gave all traffic, while it has it and was not sent back yet.

    `at` is when it took all traffic, `previous_version` what served before, None when nothing of the model did.
    `goes_back` says that it is being sent back just now.
    """

    version: str
    at: datetime
    previous_version: str | None = None
    goes_back: bool = False


@dataclass(frozen=True, slots=True)
class History:
    """What the ledger knows that bears on the decision: this model's retrainings, newest first, how many of other
    models are under way, and its newest release, where a policy asks for that.
    """

    attempts: tuple[Attempt, ...] = ()
    open_elsewhere: int = 0
    release: Release | None = None

    @property
    def last_retraining_at(self) -> datetime | None:
        """When the newest retraining began that was not superseded."""
        for attempt in self.attempts:
            if attempt.state is not AttemptState.SUPERSEDED:
                return attempt.at
        return None

    @property
    def open_attempt(self) -> Attempt | None:
        """The retraining under way."""
        return next((attempt for attempt in self.attempts if attempt.state is AttemptState.OPEN), None)

    @property
    def superseded_in_a_row(self) -> int:
        """How many retrainings were superseded since the last that was not, the one under way left out."""
        past = (attempt for attempt in self.attempts if attempt.state is not AttemptState.OPEN)
        return sum(1 for _ in takewhile(lambda attempt: attempt.state is AttemptState.SUPERSEDED, past))

    def without_open(self) -> "History":
        """The history as if the retraining under way had never been."""
        return replace(self, attempts=tuple(each for each in self.attempts if each.state is not AttemptState.OPEN))

    @property
    def model_since(self) -> datetime | None:
        """When the training of the newest registered version began: readings up to then are about another model."""
        for attempt in self.attempts:
            if attempt.state is AttemptState.REGISTERED:
                return attempt.at
        return None


@dataclass(frozen=True, slots=True)
class Force:
    """A person asked for a retraining whatever the rules say."""

    by: str
    reason: str


class Decision(NamedTuple):
    """The outcome with the tree that explains it. With `shadow` it is only recorded."""

    outcome: Outcome
    tree: Node
    shadow: bool = False
