"""A token bucket, as Azure Resource Manager throttles by: a burst, refilled at a steady rate. Time is an argument.

"Throttling Resource Manager requests" of the Azure documentation gives the rates per subscription and principal.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class TokenBucket:
    """A limit of at most *burst* tokens at once; *per_second* tokens are added back."""

    burst: float
    per_second: float


class Level(NamedTuple):
    """The tokens of a bucket at a moment. It gives none before `paused_until`, and refills none before `at`."""

    tokens: float
    at: datetime
    paused_until: datetime | None = None


_LONGEST_PAUSE = timedelta(minutes=10)  # a longer pause was set by a wrong clock
ARM_READS = TokenBucket(burst=250, per_second=25)
ARM_WRITES = TokenBucket(burst=200, per_second=10)


def take(limit: TokenBucket, level: Level | None, count: float, now: datetime) -> tuple[Level, timedelta]:
    """The level after a request for *count* tokens, and how long to wait before the next request: zero when they were
    given. An unused bucket (None) is full. A clock that was set back adds no tokens and removes none.
    """
    if level is not None and level.paused_until is not None and now < level.paused_until <= now + _LONGEST_PAUSE:
        return level, level.paused_until - now
    held = _refilled(limit, level, now)
    if held.tokens >= count:
        return Level(held.tokens - count, held.at), timedelta(0)
    return held, timedelta(seconds=(count - held.tokens) / limit.per_second)


def _refilled(limit: TokenBucket, level: Level | None, now: datetime) -> Level:
    if level is None:
        return Level(limit.burst, now)
    # After a clock was set back, the bucket must not stay without a refill until the old time is reached again.
    if now < level.at:
        return Level(min(level.tokens, limit.burst), now, level.paused_until)
    tokens = min(limit.burst, level.tokens + (now - level.at).total_seconds() * limit.per_second)
    return Level(tokens, now, level.paused_until)
