"""When to poll a waiting retraining again. An event reports its end at once; polling is for lost events."""

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta

from anew.core.retrainings.lifecycle import Retraining

SOONEST = timedelta(seconds=15)
LATEST = timedelta(minutes=15)
_SHARE_OF_AGE = 1 / 4  # of the time in the state: a lost event adds at most a quarter to the wait
_JITTER = 0.2  # spreads the polls of retrainings that were launched together


def next_poll(retraining_id: str, since: datetime, deadline: datetime, now: datetime) -> datetime:
    """When to poll a retraining that has been in its state since then: less often with age, and not after a deadline to
    come. The same arguments give the same moment.
    """
    wait = min(max((now - since) * _SHARE_OF_AGE, SOONEST), LATEST)
    jittered = now + wait * (1 + _JITTER * _spread(f"{retraining_id}@{now.isoformat()}"))
    return min(jittered, deadline) if deadline > now else jittered


def in_some_order(retrainings: Iterable[Retraining], now: datetime) -> list[Retraining]:
    """In another order each time, so that those that fail do not always come before the others."""
    return sorted(retrainings, key=lambda each: _spread(f"{each.id}@{now.isoformat()}"))


def _spread(text: str) -> float:
    """A number in -1..1, uniform over texts and always the same for one text."""
    digest = hashlib.blake2b(text.encode(), digest_size=4).digest()
    return int.from_bytes(digest) / 0x7FFF_FFFF - 1
