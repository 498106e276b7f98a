"""The health of each part of the webhook, and since when."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

_LAGS = 240  # measurements kept


class Status(StrEnum):
    """The health of a part. It is unknown until first checked, and off when it is not configured."""

    UP = "up"
    DOWN = "down"
    UNKNOWN = "unknown"
    OFF = "off"


@dataclass(slots=True)
class Part:
    """One part. *since* is when its status last changed, *last_success* when it last worked."""

    clock: Callable[[], datetime]
    status: Status
    since: datetime
    detail: str = ""
    last_success: datetime | None = None

    def up(self) -> None:
        """Record that it worked."""
        self.last_success = self.clock()
        self._become(Status.UP, "")

    def down(self, reason: str) -> None:
        """Record that it failed."""
        self._become(Status.DOWN, reason)

    def _become(self, status: Status, detail: str) -> None:
        if status is not self.status:
            self.status, self.since = status, self.clock()
        self.detail = detail

    def view(self) -> dict[str, Any]:
        """As a JSON value."""
        last = None if self.last_success is None else self.last_success.isoformat()
        view = {"status": self.status, "since": self.since.isoformat(), "last_success": last}
        return view | ({"detail": self.detail} if self.detail else {})


class Health:
    """The parts: the ledger (checked on request), commits of events, passes of the relay, and its calls of Prefect."""

    def __init__(self, clock: Callable[[], datetime], *, relayed: bool) -> None:
        def part(status: Status = Status.UNKNOWN) -> Part:
            return Part(clock, status, clock())

        relaying = Status.UNKNOWN if relayed else Status.OFF
        self.ledger = part()
        self.commits = part()
        self.relay = part(relaying)
        self.prefect = part(relaying)
        self.lags: deque[float] = deque([0.0], _LAGS)  # seconds by which the event loop was late

    @property
    def status(self) -> str:
        """`down` without the ledger, `degraded` when events are stored but Prefect does not hear of them."""
        if self.ledger.status is not Status.UP:
            return "down"
        return "degraded" if Status.DOWN in (self.relay.status, self.prefect.status) else "ready"

    def view(self) -> dict[str, Any]:
        """As a JSON value."""
        parts = {name: getattr(self, name).view() for name in ("ledger", "commits", "relay", "prefect")}
        lag = {"lag_ms": round(self.lags[-1] * 1000, 1), "worst_lag_ms": round(max(self.lags) * 1000, 1)}
        return {"status": self.status, **parts, "event_loop": lag}
