"""`anew events list` and `anew events show`."""

from collections.abc import Sequence
from datetime import UTC, datetime
from json import dumps, loads
from typing import Annotated, Any, cast

from cyclopts import Group, Parameter
from cyclopts.validators import MutuallyExclusive, Number
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from anew.cli.output import moment_text, print_json
from anew.core.events.event import Event
from anew.core.events.fields import Fields
from anew.core.events.serialization import event_line
from anew.engine.base.ledger import DeadLetter, InboxEntry, Ledger
from anew.engine.history.chain import Chain
from anew.engine.history.trace import trace
from anew.engine.inbox.redrive import read_again
from anew.errors import NothingKnown
from anew.settings import Settings, load_settings
from anew.wiring import ledger_to_read

_ONE_OF = Parameter(negative=(), group=Group("Which", validator=MutuallyExclusive()))


def list_events(
    *,
    waiting: Annotated[bool, _ONE_OF] = False,
    dead: Annotated[bool, _ONE_OF] = False,
    ignored: Annotated[bool, _ONE_OF] = False,
    limit: Annotated[int, Parameter(validator=Number(gte=1))] = 50,
    json: bool = False,
) -> None:
    """List events and dead letters, newest first, with their subject and state.

    Parameters
    ----------
    waiting
        Only events that wait or that a flow run has leased.
    dead
        Only dead letters: deliveries that could not be read as events.
    ignored
        Only the counts of ignored events, by type and reason.
    limit
        The most to list.
    json
        Print one JSON object a line.
    """
    ledger, now = ledger_to_read(load_settings()), datetime.now(UTC)
    console = Console(highlight=False)
    if ignored:
        _show_ignored(ledger, console, limit, json=json)
        return
    entries = [] if dead else ledger.entries(limit, waiting=waiting)
    letters = [] if waiting else ledger.dead_letters(limit)
    items = sorted([*entries, *letters], key=lambda item: item.received_at, reverse=True)[:limit]
    if json:
        for item in items:
            print_json(_entry_json(item, now) if isinstance(item, InboxEntry) else _letter_json(item))
    else:
        _show_items(items, now, console)


def _show_ignored(ledger: Ledger, console: Console, limit: int, *, json: bool) -> None:
    counts = sorted(ledger.ignored_counts(), key=lambda count: count.last_at, reverse=True)[:limit]
    table = _table("last", "count", "type", "reason")
    for count in counts:
        if json:
            print_json(count)
        table.add_row(moment_text(count.last_at), str(count.count), escape(count.type), escape(count.reason))
    if not json:
        console.print(table if counts else "nothing was ignored")


def _show_items(items: Sequence[InboxEntry | DeadLetter], now: datetime, console: Console) -> None:
    table = _table("received", "id", "event")
    for item in items:
        table.add_row(moment_text(item.received_at), *map(escape, _id_and_text(item, now)))
    console.print(table if items else "no events")
    if items:
        console.print("More: anew events show ID")


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    # Only the last column folds in a narrow terminal, so that ids can be copied whole.
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column != columns[-1])
    return table


def _id_and_text(item: InboxEntry | DeadLetter, now: datetime) -> tuple[str, str]:
    if isinstance(item, InboxEntry):
        name, kind, about, state = item.event.id, str(item.event.type), _about(item.event), state_of(item, now)
    else:
        raw = loads(item.raw)
        fields = Fields(cast(dict[Any, Any], raw) if isinstance(raw, dict) else {})
        kind = fields.optional_text("eventType") or fields.optional_text("type") or ""
        name, about, state = item.id, fields.optional_text("subject") or "", f"dead: {item.reason}"
    deliveries = f"{item.deliveries} deliver{'y' if item.deliveries == 1 else 'ies'}"
    return name, f"{kind.rpartition('.')[2]} {about} ({item.source}, {deliveries})\n{state}"


def state_of(entry: InboxEntry, now: datetime) -> str:
    """The state of an entry: settled with its outcome, leased, or waiting."""
    if entry.settled_at is not None:
        return f"settled: {entry.outcome}"
    if entry.leased_until is not None and entry.leased_until > now:
        return f"leased until {moment_text(entry.leased_until)}"
    return f"waiting since {moment_text(entry.received_at)}"


def _about(event: Event) -> str:
    if event.model:
        return f"{event.model}:{event.version}" if event.version else event.model
    if event.drift and event.drift.monitor:
        return event.drift.monitor
    return event.run_id or event.service or event.subject


def _entry_json(entry: InboxEntry, now: datetime) -> dict[str, Any]:
    names = (
        "key",
        "cause",
        "source",
        "deliveries",
        "received_at",
        "hinted_at",
        "leased_until",
        "decided_for",
        "settled_at",
        "outcome",
        "subject_id",
    )
    return {**event_line(entry.event), **{name: getattr(entry, name) for name in names}, "state": state_of(entry, now)}


def _letter_json(letter: DeadLetter) -> dict[str, Any]:
    names = ("id", "reason", "source", "deliveries", "received_at", "redriven_at")
    return {**{name: getattr(letter, name) for name in names}, "raw": loads(letter.raw)}


# --- one of them ------------------------------------------------------------------------------------------


def show(id: str, *, json: bool = False) -> None:
    """Show one event or dead letter, and what it led to.

    Parameters
    ----------
    id
        An event's id or inbox key, or a dead letter's id (x-).
    json
        Print one JSON object.
    """
    settings = load_settings()
    ledger = ledger_to_read(settings)
    entry, letter = ledger.entry(id), ledger.dead_letter(id)
    if entry is not None:
        _show_entry(ledger, entry, datetime.now(UTC), json=json)
    elif letter is not None:
        _show_letter(settings, letter, json=json)
    else:
        raise NothingKnown(f"the ledger knows no event or dead letter called {id}", advice="Run: anew events list")


def _show_entry(ledger: Ledger, entry: InboxEntry, now: datetime, *, json: bool) -> None:
    led_to = _led_to(trace(ledger, entry.key).chain)
    if json:
        print_json({**_entry_json(entry, now), "led_to": [name for name, _ in led_to]})
        return
    console = Console(highlight=False)
    _show_facts(
        console,
        ("event", entry.event.id),
        ("key", entry.key),
        ("cause", entry.cause),
        ("source", f"{entry.source}, deliveries: {entry.deliveries}"),
        ("received", moment_text(entry.received_at)),
        ("hinted", moment_text(entry.hinted_at) if entry.hinted_at else "not yet"),
        ("state", state_of(entry, now)),
    )
    _show_raw(console, event_line(entry.event))
    for name, sentence in led_to:
        console.print(f"{escape(sentence)}\nWhy: anew explain {name}", soft_wrap=True)


def _led_to(chain: Chain) -> list[tuple[str, str]]:
    """The ids that an event led to, each with a sentence."""
    found: list[tuple[str, str]] = []
    if chain.decision:
        found.append((chain.decision.id, f"led to the decision {chain.decision.id}: {chain.decision.outcome}"))
    if chain.retraining:
        found.append((chain.retraining.id, f"led to the retraining {chain.retraining.id}: {chain.retraining.state}"))
    found.extend((rollout.id, f"led to the rollout {rollout.id}: {rollout.state}") for rollout in chain.rollouts)
    return found


def _show_letter(settings: Settings, letter: DeadLetter, *, json: bool) -> None:
    reading = read_again(letter, {settings.workspace})
    today = {"key": reading.key} if isinstance(reading, Event) else {"reason": reading.reason}
    if json:
        print_json({**_letter_json(letter), "today": today})
        return
    console = Console(highlight=False)
    _show_facts(
        console,
        ("dead letter", letter.id),
        ("reason", letter.reason),
        ("source", f"{letter.source}, deliveries: {letter.deliveries}"),
        ("received", moment_text(letter.received_at)),
        ("redriven", moment_text(letter.redriven_at) if letter.redriven_at else "not yet"),
        ("today", f"is the event {reading.key}" if isinstance(reading, Event) else reading.reason),
    )
    _show_raw(console, loads(letter.raw))
    if isinstance(reading, Event):
        command = f"events show '{reading.key}'" if letter.redriven_at else f"events redrive {letter.id}"
        console.print(f"Run: anew {escape(command)}", soft_wrap=True)


def _show_facts(console: Console, *facts: tuple[str, str]) -> None:
    for name, value in facts:
        console.print(f"{name:12} {escape(value)}", soft_wrap=True)


def _show_raw(console: Console, value: object) -> None:
    console.print(escape(dumps(value, indent=2, ensure_ascii=False)), soft_wrap=True)
