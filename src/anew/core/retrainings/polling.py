"""When to look at a waiting retraining again. Events tell of its end at once; looking is for when none comes."""

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta

from anew.core.retrainings.lifecycle import Retraining

SOONEST = timedelta(seconds=15)
LATEST = timedelta(minutes=15)
_SHARE_OF_AGE = 1 / 4  # so that looking late adds a quarter to what was waited at most
_JITTER = 0.2  # so that what was launched together is not looked at together for ever


def next_poll(retraining_id: str, since: datetime, deadline: datetime, now: datetime) -> datetime:
    """The next moment to look at a retraining that is in its state *since*: the older, the rarer, and never past its
    *deadline*. The same arguments give the same moment.
    """
    wait = min(max((now - since) * _SHARE_OF_AGE, SOONEST), LATEST)
    jittered = now + wait * (1 + _JITTER * _spread(f"{retraining_id}@{now.isoformat()}"))
    return min(jittered, deadline) if deadline > now else jittered


def in_some_order(retrainings: Iterable[Retraining], now: datetime) -> list[Retraining]:
    """In another order each time, so that those which come to nothing do not always come before the others."""
    return sorted(retrainings, key=lambda each: _spread(f"{each.id}@{now.isoformat()}"))


def _spread(text: str) -> float:
    """A number in -1..1 that is even over texts and the same for one text."""
    digest = hashlib.blake2b(text.encode(), digest_size=4).digest()
    return int.from_bytes(digest) / 0x7FFF_FFFF - 1
