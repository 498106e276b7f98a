"""What became of one release under one system, and what it cost whoever sent requests."""

from dataclasses import dataclass
from typing import Final, Literal

from bench.releases.plan import CHAMPION_ERRORS, Kind

End = Literal["live", "rejected", "inconclusive", "rolled back", "unfinished"]
HORIZON_SECONDS: Final = 24 * 3600.0
"""Harm is counted so long from a version's first request on: what serves then would go on in the same way."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """`stage` is the highest that a version reached which went back; `seconds` from the decision to all traffic.

    `answered` and `errors` are live requests that the new version answered, and that it failed, until `end` was known,
    `watched` seconds after its first live or mirrored one.
    """

    number: int
    kind: Kind
    end: End
    evaluations: int = 1
    stage: str = ""
    seconds: float | None = None
    answered: int = 0
    errors: int = 0
    watched: float = 0.0
    reached_all: bool = False
    note: str = ""

    def harmed(self, rate: float) -> float:
        """Requests harmed beyond what the champion would have, within the horizon: errors as they were counted, wrong
        and slow answers, and whatever comes after the end was known, as they are to be expected.
        """
        seen = self.errors - CHAMPION_ERRORS * self.answered + self.kind.silent_harm * self.answered
        after = max(0.0, HORIZON_SECONDS - self.watched) * rate if self.end == "live" else 0.0
        return seen + self.kind.harm * after
