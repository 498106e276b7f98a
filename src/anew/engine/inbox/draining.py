"""Draining the inbox, for flows that answer every entry by itself: however much waits, it is the work of one pass."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from anew.core.events.handling import CAUSES_OF
from anew.engine.base.context import Engine
from anew.engine.base.ledger import InboxEntry
from anew.errors import AnewError, AzureUnavailable

Handler = Callable[[InboxEntry], str | None]
"""Settles an entry, or says why it has to wait."""

_AT_ONCE = 500  # entries: what is worked off long before the lease of their claim runs out
_FAILURES_AT_MOST = 3  # in a row: then Azure is away, and asking it again and again helps nobody


def drain(engine: Engine, flow: str, answer: Handler, now: datetime) -> tuple[str, ...]:
    """Have every entry for this flow answered, the oldest first; returns why some have to wait.

    Each is tried once. One that has to wait, or raises an AnewError, holds up no other: those that were never tried
    come first. When Azure is away the pass ends. Raises LedgerUnavailable.
    """
    tried = _Tried(answer)
    while not tried.is_given_up and (page := _claim(engine, flow, now)):
        for entry in page:
            tried.take(entry)
    if tried.left:
        engine.ledger.release(sorted(tried.left))
    if tried.waiting:
        engine.ledger.release(sorted(tried.waiting), now)
    return tuple(tried.waiting.values())


@dataclass(slots=True)
class _Tried:
    """What became of the entries of a pass: why some wait, by key, and which were left when Azure was away."""

    answer: Handler
    waiting: dict[str, str] = field(default_factory=dict[str, str])
    left: set[str] = field(default_factory=set[str])
    failures: int = 0

    @property
    def is_given_up(self) -> bool:
        return self.failures >= _FAILURES_AT_MOST

    def take(self, entry: InboxEntry) -> None:
        if entry.key in self.waiting:
            return  # the pass has taken longer than its lease
        if self.is_given_up:
            self.left.add(entry.key)
        elif (why := self._try(entry)) is not None:
            self.waiting[entry.key] = f"{entry.event.run_id or entry.event.subject}: {why}"

    def _try(self, entry: InboxEntry) -> str | None:
        away = False
        try:
            return self.answer(entry)
        except AnewError as error:
            away = isinstance(error, AzureUnavailable)
            return str(error)
        finally:
            self.failures = self.failures + 1 if away else 0


def _claim(engine: Engine, flow: str, now: datetime) -> list[InboxEntry]:
    # The lease counts from when the page is taken, which may be long after the pass began.
    moment = max(now, engine.clock())
    return engine.ledger.lease(CAUSES_OF[flow], moment, engine.timing.inbox_lease, _AT_ONCE)
