"""Getting back events that the inbox missed: dead letters, blobs of Event Grid, and what only Azure knows.

Everything found is compared with the ledger first, and only the unknown is kept. So each function may be repeated, or
crash anywhere and start again, and an event found once more does not count as another delivery.
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import TypeVar

from anew.core.events.dead_letter_blobs import Foreign, Undelivered
from anew.core.events.event import Event, Ignored, Parsed, Rejected, Workspace
from anew.core.events.parsing import accept, parse_event
from anew.core.retrainings.lineage_tags import RETRAINING_TAG
from anew.engine.base.context import Engine
from anew.engine.base.ledger import DeadLetter, Ledger, Source
from anew.engine.inbox.intake import dead_letter, receive

_BATCH = 500  # letters or events in one transaction
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Found:
    """Elements compared with the ledger. `unkept` is the part of `unreadable` that is no dead letter yet."""

    new: tuple[Event, ...] = ()
    known: int = 0
    ignored: Mapping[str, int] = field(default_factory=dict[str, int])  # how many, by reason
    unreadable: tuple[Rejected, ...] = ()
    unkept: tuple[Rejected, ...] = ()


@dataclass(frozen=True, slots=True)
class Redriven:
    """A dead letter that was read again. `why_not` is None when its event is in the inbox now, under `key`."""

    letter: DeadLetter
    key: str | None = None
    why_not: str | None = None


def compare(ledger: Ledger, found: Iterable[Parsed | Foreign], now: datetime) -> Found:
    """The elements that the ledger does not know, and how many it knows. Writes nothing. Raises LedgerUnavailable."""
    elements = list(found)
    events = [element for element in elements if isinstance(element, Event)]
    by_key = {event.key: event for event in events}
    known = ledger.known_keys(by_key)
    new = tuple(event for key, event in by_key.items() if key not in known)
    rejected = [element for element in elements if isinstance(element, Rejected)]
    unreadable = {dead_letter(element, Source.DEAD_LETTER, now).id: element for element in rejected}
    return Found(
        new,
        len(events) - len(new),
        Counter(element.reason for element in elements if isinstance(element, Ignored | Foreign)),
        tuple(unreadable.values()),
        tuple(element for name, element in unreadable.items() if ledger.dead_letter(name) is None),
    )


def keep(ledger: Ledger, found: Found, now: datetime, source: Source) -> None:
    """Put the new events into the inbox, and the unreadable among the dead letters. Raises LedgerUnavailable."""
    for batch in _batches((*found.new, *found.unkept), _BATCH):
        receive(ledger, batch, now, source)


# --- our own dead letters ---------------------------------------------------------------------------------


def redrive(
    ledger: Ledger, letters: Sequence[DeadLetter], workspaces: Collection[Workspace], now: datetime
) -> Iterator[Redriven]:
    """Read dead letters again: those that are events go to the inbox and are marked, the others stay as they are.

    A crash before the mark is harmless: next time the event is known, and only the mark is made. Raises
    LedgerUnavailable.
    """
    for batch in _batches(letters, _BATCH):
        readings = [(letter, read_again(letter, workspaces)) for letter in batch]
        events = {letter.id: parsed for letter, parsed in readings if isinstance(parsed, Event)}
        keep(ledger, compare(ledger, events.values(), now), now, Source.DEAD_LETTER)
        unmarked = [letter.id for letter in batch if letter.id in events and letter.redriven_at is None]
        if unmarked:
            ledger.mark_redriven(unmarked, now)
        for letter, parsed in readings:
            if isinstance(parsed, Event):
                yield Redriven(letter, key=parsed.key)
            else:
                yield Redriven(letter, why_not=parsed.reason)


def read_again(letter: DeadLetter, workspaces: Collection[Workspace]) -> Parsed:
    """A dead letter as this version of anew reads it; empty *workspaces* mean any."""
    try:
        raw = json.loads(letter.raw)
    except RecursionError:
        # It was read once, with more of the stack left. It must not stop the others from being read.
        return Rejected("nested too deeply", letter.raw)
    return accept(parse_event(raw), workspaces)


# --- Event Grid's dead letters ----------------------------------------------------------------------------


def ingest(ledger: Ledger, blob: Iterable[Undelivered], now: datetime, *, dry_run: bool = False) -> Found:
    """Take in the events of one of Event Grid's dead-letter blobs; with *dry_run* only say which would be taken.

    The ignored are not counted in the ledger, or reading a blob twice would count them twice. Raises LedgerUnavailable.
    """
    found = compare(ledger, (undelivered.reading for undelivered in blob), now)
    if not dry_run:
        keep(ledger, found, now, Source.DEAD_LETTER)
    return found


# --- events that only Azure knows -------------------------------------------------------------------------


def missed_between(engine: Engine, since: datetime, until: datetime) -> list[Event]:
    """The events between two moments that Azure knows of and the inbox does not, oldest first. Writes nothing.

    Raises AzureUnavailable, AzureRefused, LedgerUnavailable.
    """
    happened = [*watched_drift(engine, since, until), *adoptable_runs(engine, since, until)]
    # The port lists everything from `since` on, so that some may have started after `until`.
    within = [event for event in happened if since <= event.time <= until]
    return sorted(compare(engine.ledger, within, until).new, key=lambda event: event.time)


def watched_drift(engine: Engine, since: datetime, until: datetime) -> list[Event]:
    """Drift of the monitors that policies name. Raises AzureUnavailable, AzureRefused."""
    monitors = {name for policy in engine.policies.all for name in policy.monitors}
    return engine.missed.drift(monitors, since, until)


def adoptable_runs(engine: Engine, since: datetime, until: datetime) -> list[Event]:
    """Completed runs that anew did not start, in experiments that a policy adopts.

    Raises AzureUnavailable, AzureRefused.
    """
    active = (policy for policy in engine.policies.all if policy.mode == "active")
    experiments = {adoption.experiment for policy in active for adoption in policy.retrain.adopt}
    if not experiments:
        return []
    completed = engine.missed.completed(experiments, since, until)
    return [event for event in completed if RETRAINING_TAG not in (event.tags or {})]


def replay(
    ledger: Ledger,
    events: Sequence[Event],
    per_second: float,
    clock: Callable[[], datetime],
    sleep: Callable[[timedelta], None],
) -> Iterator[int]:
    """Take in events at a limited rate, so that what was missed for days does not start everything at once.

    Yields how many of each second's events were new, since others may have arrived meanwhile. Each batch is kept whole
    or not at all, so that after an interruption the rest is still missed. Raises LedgerUnavailable.
    """
    pause = timedelta(0)
    for batch in _batches(events, math.ceil(per_second)):
        sleep(pause)
        now = clock()
        found = compare(ledger, batch, now)
        keep(ledger, found, now, Source.RECONCILE)
        yield len(found.new)
        pause = timedelta(seconds=len(batch) / per_second)


def _batches(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
