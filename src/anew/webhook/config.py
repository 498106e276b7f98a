"""What the webhook is told at its start."""

import ipaddress
from dataclasses import dataclass
from datetime import timedelta

from anew.core.deliveries import MAX_BODY, MAX_EVENTS
from anew.core.events import Workspace
from anew.engine.relay import GRACE, LONGEST_WAIT
from anew.errors import InvalidSettings

MIN_SECRET = 16  # characters


@dataclass(frozen=True, slots=True)
class WebhookConfig:
    """Where to listen, whom to believe, and how much to take.

    Any of *secrets* lets a request in, so that one can be replaced without a gap. Empty *subscriptions* or
    *workspaces* mean any. *relay_interval* is the longest time between two looks at what waits.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    secrets: tuple[str, ...] = ()
    subscriptions: frozenset[str] = frozenset()
    workspaces: frozenset[Workspace] = frozenset()
    max_body: int = MAX_BODY
    max_events: int = MAX_EVENTS
    relay_interval: timedelta = timedelta(seconds=1)
    grace: timedelta = GRACE
    longest_wait: timedelta = LONGEST_WAIT

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach the address bound to."""
        if self.host.casefold() == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False

    def validate(self) -> None:
        """Raises InvalidSettings when anybody could send events, or a secret could be guessed."""
        if not self.secrets and not self.on_loopback:
            raise InvalidSettings(
                f"the webhook would listen on {self.host} without a secret, and anybody could send it events",
                advice="Set ANEW_WEBHOOK__SECRETS, or bind to 127.0.0.1",
            )
        if any(len(secret) < MIN_SECRET for secret in self.secrets):
            raise InvalidSettings(f"a webhook secret is shorter than {MIN_SECRET} characters")
