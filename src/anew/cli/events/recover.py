"""`anew events redrive`, `anew events ingest` and `anew events replay`: recover events that the inbox missed."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console
from rich.markup import escape

from anew.cli.output import moment_text, print_json, utc
from anew.core.events.dead_letter_blobs import read_blob
from anew.core.events.event import Event, Workspace
from anew.core.events.serialization import event_line
from anew.engine.base.ledger import DeadLetter, Ledger
from anew.engine.inbox.redrive import Found, Redriven, ingest, missed_between, redrive, replay
from anew.errors import InvalidRequest, MalformedBody, NothingKnown
from anew.settings import load_settings
from anew.wiring import build_engine, ledger_to_read, open_ledger

_NEXT = "The relay of the webhook, or the next reconcile, starts their flows. See: anew events list --waiting"
_SHOWN_REASONS = 5


# --- dead letters of the ledger ---------------------------------------------------------------------------


def redrive_letters(*ids: str, all: Annotated[bool, Parameter(negative=())] = False, json: bool = False) -> int:
    """Read dead letters again with this version and these settings. Those that are events now go to the inbox.

    The others stay, with the reason, and the command exits 1. Safe to repeat.

    Parameters
    ----------
    ids
        Ids of dead letters (x-).
    all
        All dead letters that were not redriven yet.
    json
        Print one JSON object a dead letter.
    """
    if bool(ids) == all:
        raise InvalidRequest("give ids of dead letters, or --all", advice="Run: anew events list --dead")
    settings = load_settings()
    ledger = open_ledger(settings)
    oldest_first = ledger.dead_letters(sys.maxsize)[::-1] if all else None
    letters = oldest_first or [_letter(ledger, name) for name in dict.fromkeys(ids)]
    console = Console(highlight=False)
    stayed = 0
    for redriven in redrive(ledger, letters, {settings.workspace}, datetime.now(UTC)):
        stayed += redriven.key is None
        _show_redriven(console, redriven, json=json)
    if not json:
        console.print(f"{len(letters) - stayed} in the inbox, {stayed} stay.")
    if not json and len(letters) > stayed:
        console.print(_NEXT, soft_wrap=True)
    return 1 if stayed else 0


def _show_redriven(console: Console, redriven: Redriven, *, json: bool) -> None:
    name, key, why_not = redriven.letter.id, redriven.key, redriven.why_not
    if json:
        print_json({"id": name, "redriven": key is not None, "key": key, "reason": why_not})
    else:
        console.print(f"{name}  {escape(f'stays: {why_not}' if key is None else f'is {key}')}", soft_wrap=True)


def _letter(ledger: Ledger, id: str) -> DeadLetter:
    letter = ledger.dead_letter(id)
    if letter is None:
        raise NothingKnown(f"the ledger knows no dead letter called {id}", advice="Run: anew events list --dead")
    return letter


# --- dead-letter blobs of Event Grid ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class File:
    """The result for one file. `problem` says why it could not be read."""

    path: Path
    found: Found = field(default_factory=Found)
    gave_up: Counter[str] = field(default_factory=Counter[str])  # deliveries by the reason why Event Grid gave up
    problem: str | None = None


def ingest_path(path: Path, *, dry_run: Annotated[bool, Parameter(negative=())] = False, json: bool = False) -> int:
    """Take in the dead-letter blobs of Event Grid: events that it could not deliver. Safe to repeat.

    Exits 2 if a file could not be read; the other files are taken in.

    Parameters
    ----------
    path
        A file, or a folder: all *.json files below it are read.
    dry_run
        Show what would be taken in, without doing it. An event in two files counts twice.
    json
        Print one JSON object a file.
    """
    from rich.progress import track

    settings = load_settings()
    ledger = ledger_to_read(settings) if dry_run else open_ledger(settings)
    console = Console(highlight=False)
    total: Counter[str] = Counter()
    hidden = json or not console.is_terminal
    for name in track(_files(path), "reading", console=console, transient=True, disable=hidden):
        file = _ingest_file(ledger, name, {settings.workspace}, dry_run=dry_run)
        if json:
            print_json(_file_json(file))
        else:
            _show_file(console, file)
        total.update(_counts(file))
    if not json:
        console.print(f"{_sum(total)}, {total['failed']} files failed{' (dry run)' if dry_run else ''}")
        if total["new"] and not dry_run:
            console.print(_NEXT, soft_wrap=True)
    return 2 if total["failed"] else 0


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.rglob("*.json") if file.is_file())
    if not path.exists():
        raise InvalidRequest(f"{path}: no such file or folder", advice="Give the path of the downloaded container")
    return [path]


def _ingest_file(ledger: Ledger, path: Path, workspaces: Collection[Workspace], *, dry_run: bool) -> File:
    try:
        blob = read_blob(path.read_bytes(), workspaces)
    except OSError as error:
        return File(path, problem=error.strerror or str(error))
    except MalformedBody as error:
        return File(path, problem=str(error))
    gave_up = Counter(undelivered.gave_up for undelivered in blob if undelivered.gave_up)
    return File(path, ingest(ledger, blob, datetime.now(UTC), dry_run=dry_run), gave_up)


def _counts(file: File) -> dict[str, int]:
    found = file.found
    return {
        "new": len(found.new),
        "known": found.known,
        "ignored": sum(found.ignored.values()),
        "unreadable": len(found.unreadable),
        "failed": int(file.problem is not None),
    }


def _sum(counts: dict[str, int]) -> str:
    return ", ".join(f"{counts[name]} {name}" for name in ("new", "known", "ignored", "unreadable"))


def _file_json(file: File) -> dict[str, Any]:
    return {
        "file": file.path,
        **_counts(file),
        "failed": file.problem,
        "gave_up": dict(file.gave_up),
        "ignored_reasons": dict(file.found.ignored),
        "unreadable_reasons": [element.reason for element in file.found.unreadable],
    }


def _show_file(console: Console, file: File) -> None:
    if file.problem is not None:
        console.print(f"{escape(str(file.path))}: [red]cannot be read[/]: {escape(file.problem)}", soft_wrap=True)
        return
    console.print(f"{escape(str(file.path))}: {_sum(_counts(file))}", soft_wrap=True)
    for reason, count in file.gave_up.most_common():
        console.print(f"  Event Grid gave up on {count}: {escape(reason)}", soft_wrap=True)
    for reason, count in Counter(file.found.ignored).most_common(_SHOWN_REASONS):
        console.print(f"  ignored {count}: {escape(reason)}", soft_wrap=True)
    for element in file.found.unreadable[:_SHOWN_REASONS]:
        console.print(f"  dead letter: {escape(element.reason)}", soft_wrap=True)


# --- missed events that Azure knows of --------------------------------------------------------------------


def replay_missed(
    *,
    since: datetime,
    until: datetime | None = None,
    rate: Annotated[float, Parameter(validator=Number(gt=0, lte=1000))] = 5,
    dry_run: Annotated[bool, Parameter(negative=())] = False,
    json: bool = False,
) -> None:
    """Ask Azure for drift and runs that no event reported, and put them into the inbox. Safe to interrupt and repeat.

    Covers drift of the monitors that policies name, and completed runs that a policy adopts.

    Parameters
    ----------
    since
        The beginning, such as 2026-07-14T12:00; without an offset it is UTC.
    until
        The end; default: now.
    rate
        The most events taken in per second.
    dry_run
        Show what was missed, without taking it in.
    json
        Print one JSON object.
    """
    now = datetime.now(UTC)
    first, last = utc(since), utc(until) if until else now
    if not first < last <= now:
        raise InvalidRequest(
            f"from {first.isoformat()} to {last.isoformat()} is not a span of time in the past",
            advice="Run: anew events replay --since T --until T, the earlier first",
        )
    engine = build_engine(load_settings(), actor="replay")
    missed = missed_between(engine, first, last)
    new = 0 if dry_run else take_in(engine.ledger, missed, rate, quiet=json)
    if json:
        events = [{"key": event.key, **event_line(event)} for event in missed]
        print_json({"since": first, "until": last, "missed": events, "new": new})
    else:
        show_replayed(missed, None if dry_run else new)


def take_in(
    ledger: Ledger,
    missed: Sequence[Event],
    rate: float,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    sleep: Callable[[timedelta], None] = lambda pause: time.sleep(pause.total_seconds()),
    *,
    quiet: bool = False,
) -> int:
    """Put events into the inbox, at most *rate* a second; returns the number of new ones. When interrupted, print how
    far it came.
    """
    from rich.progress import Progress

    new = 0
    console = Console()
    with Progress(console=console, transient=True, disable=quiet or not console.is_terminal) as progress:
        task = progress.add_task("taking in", total=len(missed))
        try:
            for count in replay(ledger, missed, rate, clock, sleep):
                new += count
                progress.update(task, advance=count)
        except KeyboardInterrupt:
            sys.stderr.write(f"{new} of {len(missed)} taken in; run the same again for the rest\n")
            raise
    return new


def show_replayed(missed: Sequence[Event], new: int | None) -> None:
    """Print the result of a replay; `new` is None for a dry run, which lists the events."""
    console = Console(highlight=False)
    if new is None:
        for event in missed:
            about = (event.drift and event.drift.monitor) or event.experiment or ""
            console.print(escape(f"{moment_text(event.time)}  {about}  {event.run_id}"), soft_wrap=True)
        console.print(f"{len(missed)} missed, dry run.")
        return
    console.print(f"{len(missed)} missed, {new} new in the inbox.")
    if new:
        console.print(_NEXT, soft_wrap=True)
