"""Taking events in: what is for us goes to the inbox, what nobody acts on is settled at once, the rest is counted."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from anew.core.events import Cause, Event, Ignored, Parsed, Rejected
from anew.engine.ports import Ledger, Receipt, Source

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
    """Keep the good elements and count the ignored ones; the rejected ones come back.

    When it returns, every good element survives a crash. Raises LedgerUnavailable; repeating the call is harmless.
    """
    elements = list(parsed)
    events = [element for element in elements if isinstance(element, Event)]
    ignored = [element for element in elements if isinstance(element, Ignored)]
    receipt = ledger.receive(events, source, now) if events else Receipt(0, 0)
    _settle_idle(ledger, events, now)
    for element in ignored:
        ledger.count_ignored(element.event.type, element.reason, now)
    return IntakeResult(receipt, len(ignored), tuple(element for element in elements if isinstance(element, Rejected)))


def _settle_idle(ledger: Ledger, events: Sequence[Event], now: datetime) -> None:
    for cause, outcome in SETTLED_AT_ONCE.items():
        keys = list(dict.fromkeys(event.key for event in events if event.cause is cause))
        if keys:
            ledger.settle(keys, outcome, now)
