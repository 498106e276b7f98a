"""Taking events in: the good go to the inbox, where those that no flow handles are settled; the rest are counted."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from anew.core.events.event import Event, Ignored, Parsed, Rejected
from anew.core.events.fields import shown
from anew.core.events.handling import SettledAtOnce, handling
from anew.engine.base.ledger import DeadLetter, Ledger, Receipt, Source


@dataclass(frozen=True, slots=True)
class IntakeResult:
    """How many elements of a batch were kept or ignored, and which were rejected."""

    receipt: Receipt
    ignored: int
    rejected: tuple[Rejected, ...]

    @property
    def stored(self) -> int:
        """How many elements the inbox knows now, new or repeated."""
        return self.receipt.new + self.receipt.repeated


def receive(ledger: Ledger, parsed: Iterable[Parsed], now: datetime, source: Source = Source.WEBHOOK) -> IntakeResult:
    """Keep the good elements, count the ignored ones, and keep the rejected ones as dead letters, all or nothing.

    When it returns, everything kept survives a crash. Raises LedgerUnavailable; repeating the call is harmless.
    """
    elements = list(parsed)
    events = [element for element in elements if isinstance(element, Event)]
    ignored = [(element.event.type, element.reason) for element in elements if isinstance(element, Ignored)]
    rejected = tuple(element for element in elements if isinstance(element, Rejected))
    settled = {
        event.key: handled.outcome
        for event in events
        if event.cause is not None and isinstance(handled := handling(event.cause), SettledAtOnce)
    }
    dead = [dead_letter(element, source, now) for element in rejected]
    receipt = ledger.receive(events, source, now, settled=settled, ignored=ignored, dead=dead)
    return IntakeResult(receipt, len(ignored), rejected)


def dead_letter(rejected: Rejected, source: Source, now: datetime) -> DeadLetter:
    """An element that is no event, as it is kept: a later version of anew may be able to read it."""
    try:
        raw = json.dumps(rejected.raw, sort_keys=True)
    except RecursionError:
        raw = json.dumps(shown(rejected.raw))
    digest = hashlib.sha256(f"{source}\n{raw}".encode()).hexdigest()
    return DeadLetter(f"x-{digest[:12]}", rejected.reason, raw, source, now)
