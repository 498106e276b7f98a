"""Getting back what the inbox missed: dead letters read again, what Event Grid could not deliver, what nobody told of.

Whatever is found is compared with the ledger first and only the unknown is kept, so each of these may be repeated, or
die anywhere and start again. To come upon a known event once more is no delivery, and is not counted as one.
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
from anew.engine.base.context import Engine
from anew.engine.base.ledger import DeadLetter, Ledger, Source
from anew.engine.inbox.intake import dead_letter, receive
from anew.engine.inbox.missed import adoptable_runs, watched_drift

_AT_ONCE = 500  # letters, or events: what one transaction takes
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Found:
    """What was come upon, compared with the ledger. `unkept` is the part of `unreadable` that is no dead letter yet."""

    new: tuple[Event, ...] = ()
    known: int = 0
    ignored: Mapping[str, int] = field(default_factory=dict[str, int])  # how many, by reason
    unreadable: tuple[Rejected, ...] = ()
    unkept: tuple[Rejected, ...] = ()


@dataclass(frozen=True, slots=True)
class Redriven:
    """A dead letter and what reading it again came to. `why_not` is None when the inbox knows its event now."""

    letter: DeadLetter
    key: str | None = None
    why_not: str | None = None


def compare(ledger: Ledger, found: Iterable[Parsed | Foreign], now: datetime) -> Found:
    """What of this the ledger does not know. Writes nothing. Raises LedgerUnavailable."""
    elements = list(found)
    events = [element for element in elements if isinstance(element, Event)]
    once = {event.key: event for event in events}
    known = ledger.known_keys(once)
    new = tuple(event for key, event in once.items() if key not in known)
    unreadable = {
        dead_letter(element, Source.DEAD_LETTER, now).id: element
        for element in elements
        if isinstance(element, Rejected)
    }
    return Found(
        new,
        len(events) - len(new),
        Counter(element.reason for element in elements if isinstance(element, Ignored | Foreign)),
        tuple(unreadable.values()),
        tuple(element for name, element in unreadable.items() if ledger.dead_letter(name) is None),
    )


def keep(ledger: Ledger, found: Found, now: datetime, source: Source) -> None:
    """Put what is new into the inbox, and the unreadable among the dead letters. Raises LedgerUnavailable."""
    for lot in _lots((*found.new, *found.unkept), _AT_ONCE):
        receive(ledger, lot, now, source)


# --- our own dead letters ---------------------------------------------------------------------------------


def read_again(letter: DeadLetter, workspaces: Collection[Workspace]) -> Parsed:
    """What today's parser makes of a dead letter; empty *workspaces* mean any."""
    try:
        raw = json.loads(letter.raw)
    except RecursionError:
        # It was read once, with more of the stack left: one such letter must not keep the others from being read.
        return Rejected("nested too deeply", letter.raw)
    return accept(parse_event(raw), workspaces)


def redrive(
    ledger: Ledger, letters: Sequence[DeadLetter], workspaces: Collection[Workspace], now: datetime
) -> Iterator[Redriven]:
    """Read dead letters again; those that are events go to the inbox and are marked, the others stay as they are.

    A crash before the mark is harmless: next time the event is known, and only the mark is made. Raises
    LedgerUnavailable.
    """
    for lot in _lots(letters, _AT_ONCE):
        readings = [(letter, read_again(letter, workspaces)) for letter in lot]
        events = {letter.id: parsed for letter, parsed in readings if isinstance(parsed, Event)}
        keep(ledger, compare(ledger, events.values(), now), now, Source.DEAD_LETTER)
        unmarked = [letter.id for letter in lot if letter.id in events and letter.redriven_at is None]
        if unmarked:
            ledger.mark_redriven(unmarked, now)
        yield from (_redriven(letter, parsed) for letter, parsed in readings)


def _redriven(letter: DeadLetter, parsed: Parsed) -> Redriven:
    if isinstance(parsed, Event):
        return Redriven(letter, key=parsed.key)
    return Redriven(letter, why_not=parsed.reason)


# --- Event Grid's dead letters ----------------------------------------------------------------------------


def ingest(ledger: Ledger, blob: Iterable[Undelivered], now: datetime, *, dry_run: bool = False) -> Found:
    """Take in the events of one of Event Grid's dead-letter blobs; with *dry_run* only say what would be taken.

    The ignored are not counted in the ledger, or reading a blob twice would count them twice. Raises LedgerUnavailable.
    """
    found = compare(ledger, (undelivered.reading for undelivered in blob), now)
    if not dry_run:
        keep(ledger, found, now, Source.DEAD_LETTER)
    return found


# --- what Azure knows -------------------------------------------------------------------------------------


def missed_between(engine: Engine, since: datetime, until: datetime) -> list[Event]:
    """What happened between two moments that Azure knows of and the inbox does not, oldest first. Writes nothing.

    Raises AzureUnavailable, AzureRefused, LedgerUnavailable.
    """
    happened = [*watched_drift(engine, since, until), *adoptable_runs(engine, since, until)]
    # The port looks on from `since`; a run listed as the newest may have started after `until`.
    within = [event for event in happened if since <= event.time <= until]
    return sorted(compare(engine.ledger, within, until).new, key=lambda event: event.time)


def replay(
    ledger: Ledger,
    events: Sequence[Event],
    per_second: float,
    clock: Callable[[], datetime],
    sleep: Callable[[timedelta], None],
) -> Iterator[int]:
    """Take events in, a lot a second at most, so that what was missed for days does not start everything at once.

    Yields how many of each lot were new: somebody else may have learnt of the rest meanwhile. A lot is kept whole or
    not at all, so whoever stops in between finds the others missing still. Raises LedgerUnavailable.
    """
    pause = timedelta(0)
    for lot in _lots(events, math.ceil(per_second)):
        sleep(pause)
        now = clock()
        found = compare(ledger, lot, now)
        keep(ledger, found, now, Source.RECONCILE)
        yield len(found.new)
        pause = timedelta(seconds=len(lot) / per_second)


def _lots(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some
