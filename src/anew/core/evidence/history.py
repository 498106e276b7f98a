"""The part of the ledger that a decision depends on: earlier retrainings, and the release in production."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from itertools import takewhile


class AttemptState(StrEnum):
    """How an earlier retraining of the model ended, as far as limits depend on it."""

    OPEN = "open"
    REGISTERED = "registered"
    REJECTED = "rejected"  # its candidate did not pass the gate
    FAILED = "failed"
    SUPERSEDED = "superseded"  # canceled for a newer one; its cooldown must not delay that one


@dataclass(frozen=True, slots=True)
class Attempt:
    """One retraining of the model. `charge` is in the budget's unit, None when it was not recorded."""

    id: str
    at: datetime
    state: AttemptState
    charge: float | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """The newest version of the model that a release gave all traffic, while it serves and was not rolled back.

    `at` is when it took all traffic; `previous_version` served before it, None when no version of the model did.
    `is_rolling_back` while it is being rolled back.
    """

    version: str
    at: datetime
    previous_version: str | None = None
    is_rolling_back: bool = False


@dataclass(frozen=True, slots=True)
class History:
    """This model's retrainings, newest first, the number of retrainings of other models under way, and the model's
    newest release, where its policy needs that.
    """

    attempts: tuple[Attempt, ...] = ()
    open_elsewhere: int = 0
    release: Release | None = None

    @property
    def last_retraining_at(self) -> datetime | None:
        """The start of the newest retraining that was not superseded."""
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
        """How many of the newest retrainings in a row were superseded, not counting the one under way."""
        past = (attempt for attempt in self.attempts if attempt.state is not AttemptState.OPEN)
        return sum(1 for _ in takewhile(lambda attempt: attempt.state is AttemptState.SUPERSEDED, past))

    def without_open(self) -> "History":
        """The history without the retraining under way."""
        return replace(self, attempts=tuple(each for each in self.attempts if each.state is not AttemptState.OPEN))

    @property
    def model_since(self) -> datetime | None:
        """The start of the training of the newest registered version: earlier readings are about another model."""
        for attempt in self.attempts:
            if attempt.state is AttemptState.REGISTERED:
                return attempt.at
        return None


@dataclass(frozen=True, slots=True)
class Force:
    """A person requested a retraining regardless of the rules."""

    by: str
    reason: str
