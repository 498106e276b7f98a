"""Making sure that whatever waits in the inbox gets a flow run, though Prefect may lose what it is told.

A new entry is hinted once, as a Prefect event whose trigger starts the flow. An entry that is still nobody's a moment
later gets a flow run created for it. Both are decided from the ledger alone, so a relay may crash, or run twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from anew.core.events import Cause, EventType
from anew.engine.intake import ACTS_ON
from anew.engine.ledger import InboxEntry, Ledger
from anew.engine.ports import Flows
from anew.errors import PrefectUnavailable

GRACE = timedelta(seconds=5)
LONGEST_WAIT = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class RelayReport:
    """What one pass did: flows hinted at, flows started by us, and by flow why Prefect could not be told."""

    hinted: tuple[str, ...] = ()
    started: tuple[str, ...] = ()
    failed: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class _Work:
    """What one flow needs: entries to hint at, and entries to start a flow run for."""

    flow: str
    hint: Sequence[InboxEntry]
    start: Sequence[InboxEntry]


def relay_once(
    ledger: Ledger,
    flows: Flows,
    now: datetime,
    *,
    grace: timedelta = GRACE,
    longest_wait: timedelta = LONGEST_WAIT,
    acts_on: Mapping[str, frozenset[Cause]] = ACTS_ON,
    deployment: str = "default",
) -> RelayReport:
    """Tell Prefect of what waits. Raises LedgerUnavailable; a Prefect that is away is reported and asked again later.

    Entries wait *grace* for their hint to work, then twice as long for each flow run after that, up to *longest_wait*.
    """
    every_cause = frozenset[Cause]().union(*acts_on.values())
    free = [
        entry for entry in ledger.unsettled(every_cause) if entry.claimed_until is None or entry.claimed_until <= now
    ]
    hinted: list[str] = []
    started: list[str] = []
    failed: dict[str, str] = {}
    for flow, causes in acts_on.items():
        work = _work(flow, [entry for entry in free if entry.cause in causes], now, grace, longest_wait)
        try:
            if work.hint:
                flows.hint(_newest_azure(work.hint).event)
                ledger.mark_hinted([entry.key for entry in work.hint], now)
                hinted.append(flow)
            if work.start:
                flows.start(f"{flow}/{deployment}", _attempt_key(work), {})
                ledger.mark_hinted([entry.key for entry in work.start], now)
                started.append(flow)
        except PrefectUnavailable as error:
            failed[flow] = str(error)
    return RelayReport(tuple(hinted), tuple(started), failed or None)


def _work(flow: str, entries: Sequence[InboxEntry], now: datetime, grace: timedelta, longest_wait: timedelta) -> _Work:
    fresh = [entry for entry in entries if entry.hinted_at is None]
    overdue = [entry for entry in entries if _overdue(entry, now, grace, longest_wait)]
    # No trigger listens for what is not an Azure type, such as a person's request: that is started at once.
    if any(_is_azure(entry) for entry in fresh):
        return _Work(flow, fresh, overdue)
    return _Work(flow, [], [*fresh, *overdue])


def _overdue(entry: InboxEntry, now: datetime, grace: timedelta, longest_wait: timedelta) -> bool:
    if entry.hinted_at is None:
        return False
    # Waiting as long again as it took until the last attempt doubles the wait each time, without a counter to keep.
    wait = min(max(grace, entry.hinted_at - entry.received_at), longest_wait)
    # A hint from the future was marked by a clock that has been set back since.
    return now - entry.hinted_at >= wait or entry.hinted_at > now + longest_wait


def _attempt_key(work: _Work) -> str:
    # The time of the last attempt names this one: the same for two relays that saw the same ledger, or for one that
    # crashed before it could mark the entries, and another one for the next attempt.
    oldest = min(work.start, key=lambda entry: entry.seq)
    last = 0 if oldest.hinted_at is None else int(oldest.hinted_at.timestamp() * 1000)
    return f"{work.flow}/{oldest.seq}/{last}"


def _newest_azure(entries: Sequence[InboxEntry]) -> InboxEntry:
    # What came in one request has no order of its own.
    return max((entry for entry in entries if _is_azure(entry)), key=lambda entry: (entry.event.time, entry.seq))


def _is_azure(entry: InboxEntry) -> bool:
    return entry.event.type in frozenset(EventType)
