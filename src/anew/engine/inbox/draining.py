"""Draining the inbox, for flows that handle each entry on its own: one pass works off everything that waits."""

from collections.abc import Callable
from datetime import datetime

from anew.core.events.handling import CAUSES_OF
from anew.engine.base.context import Engine
from anew.engine.base.ledger import InboxEntry
from anew.errors import AnewError, AzureUnavailable

EntryHandler = Callable[[InboxEntry], str | None]
"""Settles an entry, or returns the reason why it has to wait."""

_PAGE = 500  # entries: so few that they are worked off long before their lease runs out
_MOST_FAILURES = 3  # in a row: after that Azure counts as unavailable, and the pass ends


def drain(engine: Engine, flow: str, handle: EntryHandler, now: datetime) -> tuple[str, ...]:
    """Handle every entry for this flow, the oldest first; returns why some have to wait.

    Each is tried once. An entry that has to wait, or whose handler raises an AnewError, holds up no other: entries that
    were never tried come first. The pass ends when Azure is unavailable. Raises LedgerUnavailable.
    """
    waiting: dict[str, str] = {}  # key: reason
    untried: list[str] = []
    failures = 0
    while failures < _MOST_FAILURES and (page := _lease_page(engine, flow, now)):
        for entry in page:
            if entry.key in waiting:  # tried already: the pass took longer than the lease
                continue
            if failures >= _MOST_FAILURES:
                untried.append(entry.key)
                continue
            why, unavailable = _try(handle, entry)
            failures = failures + 1 if unavailable else 0
            if why is not None:
                waiting[entry.key] = f"{entry.event.run_id or entry.event.subject}: {why}"
    if untried:
        engine.ledger.release(sorted(untried))
    if waiting:
        engine.ledger.release(sorted(waiting), now)
    return tuple(waiting.values())


def _lease_page(engine: Engine, flow: str, now: datetime) -> list[InboxEntry]:
    # The lease counts from the moment the page is taken, which may be long after the pass began.
    moment = max(now, engine.clock())
    return engine.ledger.lease(CAUSES_OF[flow], moment, engine.timing.inbox_lease, _PAGE)


def _try(handle: EntryHandler, entry: InboxEntry) -> tuple[str | None, bool]:
    """Why the entry has to wait, and whether Azure was unavailable."""
    try:
        return handle(entry), False
    except AnewError as error:
        return str(error), isinstance(error, AzureUnavailable)
