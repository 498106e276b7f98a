"""Taking events in: what is for us goes to the inbox, what nobody acts on is settled at once, the rest is counted."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from anew.core.events.event import Cause, Event, Ignored, Parsed, Rejected
from anew.core.events.fields import shown
from anew.engine.base.ledger import DeadLetter, Ledger, Receipt, Source

ACTS_ON: Mapping[str, frozenset[Cause]] = {
    "retrain": frozenset({Cause.DRIFT, Cause.MANUAL}),
    "promote": frozenset({Cause.RUN_COMPLETED, Cause.RUN_FAILED}),
    "deploy": frozenset({Cause.MODEL_REGISTERED}),
}
"""The flow that acts on each cause."""

SETTLED_AT_ONCE: Mapping[Cause, str] = {
    Cause.RUN_PROGRESS: "Nothing to do: the run has not ended.",
    Cause.MODEL_DEPLOYED: "Nothing to do: a model was deployed, which needs no answer.",
    Cause.MONITOR_FAILED: "The monitor itself failed or had no data: this is not drift. Look at its run in Azure ML.",
}
"""The outcome of each cause that no flow acts on."""


@dataclass(frozen=True, slots=True)
class IntakeResult:
    """What taking in a batch came to."""

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
    ignored = [element for element in elements if isinstance(element, Ignored)]
    rejected = tuple(element for element in elements if isinstance(element, Rejected))
    receipt = ledger.receive(
        events,
        source,
        now,
        settled={
            event.key: outcome for event in events if (outcome := SETTLED_AT_ONCE.get(event.cause or Cause.DRIFT))
        },
        ignored=[(element.event.type, element.reason) for element in ignored],
        dead=[dead_letter(element, source, now) for element in rejected],
    )
    return IntakeResult(receipt, len(ignored), rejected)


def dead_letter(rejected: Rejected, source: Source, now: datetime) -> DeadLetter:
    """What is kept of an element that is no event: it can be read again when this version of anew could not."""
    try:
        raw = json.dumps(rejected.raw, sort_keys=True)
    except RecursionError:
        raw = json.dumps(shown(rejected.raw))
    digest = hashlib.sha256(f"{source}\n{raw}".encode()).hexdigest()
    return DeadLetter(f"x-{digest[:12]}", rejected.reason, raw, source, now)
