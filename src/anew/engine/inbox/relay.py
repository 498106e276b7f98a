"""Making sure that whatever waits in the inbox gets a flow run, though Prefect may lose what it is told.

A new entry is hinted once, as a Prefect event whose trigger starts the flow. An entry that is still nobody's a moment
later gets a flow run created for it. Both are decided from the ledger alone, so a relay may crash, or run twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from anew.core.events.event import Cause
from anew.core.events.handling import CAUSES_OF
from anew.engine.base.ledger import InboxEntry, Ledger, Waiting
from anew.engine.base.ports import Flows
from anew.errors import PrefectUnavailable

GRACE = timedelta(seconds=5)
LONGEST_WAIT = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class RelayPass:
    """What one pass did: flows hinted at, flows started by us, and by flow why Prefect could not be told."""

    hinted: tuple[str, ...] = ()
    started: tuple[str, ...] = ()
    failed: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class _Work:
    """What one flow needs: what to hint at, and what to start a flow run for."""

    flow: str
    hint: Sequence[Waiting]
    start: Sequence[Waiting]


def relay_once(
    ledger: Ledger,
    flows: Flows,
    now: datetime,
    *,
    grace: timedelta = GRACE,
    longest_wait: timedelta = LONGEST_WAIT,
) -> RelayPass:
    """Tell Prefect of what waits. Raises LedgerUnavailable; a Prefect that is away is reported and asked again later.

    Entries wait *grace* for their hint to work, then twice as long for each flow run after that, up to *longest_wait*.
    """
    every_cause = frozenset[Cause]().union(*CAUSES_OF.values())
    free = ledger.unleased(every_cause, now)
    hinted: list[str] = []
    started: list[str] = []
    failed: dict[str, str] = {}
    for flow, causes in CAUSES_OF.items():
        work = _work(flow, [each for each in free if each.cause in causes], now, grace, longest_wait)
        try:
            if work.hint and (newest := _newest_azure(ledger, work.hint)) is not None:
                flows.hint(newest.event)
                ledger.mark_hinted(work.hint, now)
                hinted.append(flow)
            if work.start:
                flows.start(f"{flow}/default", _attempt_key(work), {})
                ledger.mark_hinted(work.start, now)
                started.append(flow)
        except PrefectUnavailable as error:
            failed[flow] = str(error)
    return RelayPass(tuple(hinted), tuple(started), failed or None)


def _work(flow: str, waiting: Sequence[Waiting], now: datetime, grace: timedelta, longest_wait: timedelta) -> _Work:
    fresh = [each for each in waiting if each.hinted_at is None]
    overdue = [each for each in waiting if _overdue(each, now, grace, longest_wait)]
    # No trigger listens for a person's request: that is started at once.
    if any(_is_azure(each) for each in fresh):
        return _Work(flow, fresh, overdue)
    return _Work(flow, [], [*fresh, *overdue])


def _overdue(waiting: Waiting, now: datetime, grace: timedelta, longest_wait: timedelta) -> bool:
    if waiting.hinted_at is None:
        return False
    # Waiting as long again as it took until the last attempt doubles the wait each time, without a counter to keep.
    wait = min(max(grace, waiting.hinted_at - waiting.received_at), longest_wait)
    # A hint from the future was marked by a clock that has been set back since.
    return now - waiting.hinted_at >= wait or waiting.hinted_at > now + longest_wait


def _attempt_key(work: _Work) -> str:
    # The time of the last attempt names this one: the same for two relays that saw the same ledger, or for one that
    # crashed before it could mark it, and another one for the next attempt.
    first = min(work.start, key=lambda each: each.oldest)
    last = 0 if first.hinted_at is None else int(first.hinted_at.timestamp() * 1000)
    return f"{work.flow}/{first.oldest}/{last}"


def _newest_azure(ledger: Ledger, waiting: Sequence[Waiting]) -> InboxEntry | None:
    newest = max((each for each in waiting if _is_azure(each)), key=lambda each: each.newest)
    return ledger.entry(newest.newest_key)


def _is_azure(waiting: Waiting) -> bool:
    return waiting.cause is not Cause.MANUAL
