"""The webhook's configuration."""

import ipaddress
from dataclasses import dataclass
from datetime import timedelta

from anew.core.base.token_bucket import TokenBucket
from anew.core.events.deliveries import MAX_BODY, MAX_EVENTS
from anew.core.events.event import Workspace
from anew.engine.inbox.relay import GRACE, LONGEST_WAIT

MIN_SECRET = 16  # characters
RATE = TokenBucket(burst=10_000, per_second=5_000)


@dataclass(frozen=True, slots=True)
class WebhookConfig:
    """Where to listen, and how much to accept.

    Empty *subscriptions* or *workspaces* mean any. *rate* limits the requests whose credentials are right.
    *answer_within* is the longest time before an answer: Event Grid waits for 30 s. *relay_interval* is the longest
    time between two passes of the relay, *hints_apart* the shortest between two hints: a flow run takes everything that
    waits, and a storm of requests must not become a storm of flow runs.
    """

    host: str = "127.0.0.1"
    port: int = 8710
    operator_host: str = "127.0.0.1"
    operator_port: int | None = None
    subscriptions: frozenset[str] = frozenset()
    workspaces: frozenset[Workspace] = frozenset()
    max_body: int = MAX_BODY
    max_events: int = MAX_EVENTS
    rate: TokenBucket = RATE
    answer_within: timedelta = timedelta(seconds=25)
    relay_interval: timedelta = timedelta(seconds=1)
    hints_apart: timedelta = timedelta(seconds=0.5)
    grace: timedelta = GRACE
    longest_wait: timedelta = LONGEST_WAIT

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach the address."""
        if self.host.casefold() == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False

    @property
    def operator_address(self) -> tuple[str, int]:
        """Host and port for operators: by default the port after the public one, or any port if that may be any."""
        if self.operator_port is not None:
            return self.operator_host, self.operator_port
        return self.operator_host, self.port + 1 if self.port else 0
