"""How many failed attempts an address has left, in bounded memory."""

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class FailureLimit:
    """*burst* attempts may fail at once, then one more every *seconds_each*. At most *addresses* are remembered."""

    burst: int = 10
    seconds_each: float = 6.0
    addresses: int = 10_000


class FailedAttempts:
    """A token bucket for each address. Times are seconds of a monotonic clock.

    When there are too many addresses to remember, the one that failed longest ago is forgiven. An attacker with that
    many addresses is not slowed down by this limit, but other senders do not pay for the attack.
    """

    def __init__(self, limit: FailureLimit) -> None:
        self._limit = limit
        # A bucket is one number: when it will be full again.
        self._forgiven_at: OrderedDict[str, float] = OrderedDict()

    def wait(self, address: str, now: float) -> float:
        """Seconds until the address may try again; 0 when it may try at once."""
        full_at = now + (self._limit.burst - 1) * self._limit.seconds_each
        return max(0.0, self._forgiven_at.get(address, now) - full_at)

    def count(self, address: str, now: float) -> None:
        """Record that an attempt of this address failed."""
        each, burst = self._limit.seconds_each, self._limit.burst
        forgiven_at = max(self._forgiven_at.get(address, now), now) + each
        # Several attempts may be under way when the last allowed one fails: they do not count twice.
        self._forgiven_at[address] = min(forgiven_at, now + burst * each)
        self._forgiven_at.move_to_end(address)
        while len(self._forgiven_at) > self._limit.addresses:
            self._forgiven_at.popitem(last=False)

    def __len__(self) -> int:
        return len(self._forgiven_at)


@lru_cache(maxsize=1000)
def bucket_of(client: str | None) -> str:
    """The key of an address: an IPv4 address, or the /64 network of an IPv6 address, since one host gets all of it."""
    try:
        address = ipaddress.ip_address(client or "")
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return str(ipaddress.IPv6Network((address.packed, 64), strict=False))
        return str(address.ipv4_mapped)
    return str(address)
