"""Making sure that everything in the inbox gets a flow run, although Prefect may lose hints.

A new entry is hinted once, as a Prefect event whose trigger starts the flow. If no flow run has leased the entry a
moment later, the relay creates one. Both are decided from the ledger alone, so that a relay may crash, or run twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from anew.core.events.event import Cause
from anew.core.events.handling import CAUSES_OF
from anew.engine.base.ledger import Ledger, Waiting
from anew.engine.base.ports import Flows
from anew.errors import PrefectUnavailable

GRACE = timedelta(seconds=5)
LONGEST_WAIT = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class RelayPass:
    """One pass: the flows that were hinted at, those that were started, and why Prefect failed for others, by flow."""

    hinted: tuple[str, ...] = ()
    started: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict[str, str])


def relay_once(
    ledger: Ledger, flows: Flows, now: datetime, *, grace: timedelta = GRACE, longest_wait: timedelta = LONGEST_WAIT
) -> RelayPass:
    """Hint at the new entries, and start flow runs for those whose hint came to nothing.

    Entries wait *grace* for their hint to work, then twice as long for each flow run after that, up to *longest_wait*.
    When Prefect is unavailable the pass reports it, and the next one tries again. Raises LedgerUnavailable.
    """
    unleased = ledger.unleased(frozenset[Cause]().union(*CAUSES_OF.values()), now)
    hinted: list[str] = []
    started: list[str] = []
    failed: dict[str, str] = {}
    for flow, causes in CAUSES_OF.items():
        waiting = [each for each in unleased if each.cause in causes]
        new = [each for each in waiting if each.hinted_at is None]
        overdue = [each for each in waiting if _is_overdue(each, now, grace, longest_wait)]
        # No trigger listens for a person's request: a flow run for it is started at once.
        azure = [each for each in new if each.cause is not Cause.MANUAL]
        start = overdue if azure else [*new, *overdue]
        try:
            if azure and (newest := ledger.entry(max(azure, key=lambda each: each.newest).newest_key)) is not None:
                flows.hint(newest.event)
                ledger.mark_hinted(new, now)
                hinted.append(flow)
            if start:
                flows.start(f"{flow}/default", _attempt_key(flow, start), {})
                ledger.mark_hinted(start, now)
                started.append(flow)
        except PrefectUnavailable as error:
            failed[flow] = str(error)
    return RelayPass(tuple(hinted), tuple(started), failed)


def _is_overdue(waiting: Waiting, now: datetime, grace: timedelta, longest_wait: timedelta) -> bool:
    if waiting.hinted_at is None:
        return False
    # Waiting as long again as it took until the last attempt doubles the wait each time, without a counter to keep.
    wait = min(max(grace, waiting.hinted_at - waiting.received_at), longest_wait)
    # A hint from the future was marked by a clock that has been set back since.
    return now - waiting.hinted_at >= wait or waiting.hinted_at > now + longest_wait


def _attempt_key(flow: str, start: Sequence[Waiting]) -> str:
    # Named by the time of the last attempt: the same for two relays that saw the same ledger, and for one that crashed
    # before it marked the attempt, but another for the next attempt.
    first = min(start, key=lambda each: each.oldest)
    last = 0 if first.hinted_at is None else int(first.hinted_at.timestamp() * 1000)
    return f"{flow}/{first.oldest}/{last}"
