"""What the ledger knows that bears on a decision: earlier retrainings and the release in production."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from itertools import takewhile


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
    is_rolling_back: bool = False


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
