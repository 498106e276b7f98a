"""`anew events redrive`, `anew events ingest` and `anew events replay`: getting back what the inbox missed."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console
from rich.markup import escape

from anew.cli.output import print_json
from anew.core.events.dead_letter_blobs import Undelivered, read_blob
from anew.core.events.event import Event, Workspace
from anew.core.events.serialization import event_line
from anew.engine.base.context import Engine
from anew.engine.base.ledger import DeadLetter, Ledger
from anew.engine.inbox.redrive import Found, Redriven, ingest, missed_between, redrive, replay
from anew.errors import InvalidRequest, MalformedBody, NothingKnown
from anew.settings import load_settings
from anew.wiring import build_engine, ledger_to_read, open_ledger

_NEXT = "The webhook's relay, or the next reconcile, starts what they need. Look: anew events list --waiting"
_SHOWN_REASONS = 5


# --- our own dead letters ---------------------------------------------------------------------------------


def redrive_letters(*ids: str, all: Annotated[bool, Parameter(negative=())] = False, json: bool = False) -> int:
    """Read dead letters again with this version and these settings: those that are events go to the inbox.

    The others stay, each with today's reason, and the command exits 1. Safe to repeat.

    Parameters
    ----------
    ids
        Dead letters' ids (x-).
    all
        Every dead letter that was not redriven yet.
    json
        Print one JSON object a dead letter.
    """
    if bool(ids) == all:
        raise InvalidRequest("name dead letters, or say --all", advice="Run: anew events list --dead")
    settings = load_settings()
    ledger = open_ledger(settings)
    letters = _all_letters(ledger) if all else [_letter(ledger, name) for name in dict.fromkeys(ids)]
    console = Console(highlight=False)
    stayed = 0
    for redriven in redrive(ledger, letters, {settings.workspace}, datetime.now(UTC)):
        stayed += redriven.key is None
        _tell(console, redriven, json=json)
    if not json:
        console.print(f"{len(letters) - stayed} in the inbox, {stayed} stay.")
    if not json and len(letters) > stayed:
        console.print(_NEXT, soft_wrap=True)
    return 1 if stayed else 0


def _tell(console: Console, redriven: Redriven, *, json: bool) -> None:
    name, key, why_not = redriven.letter.id, redriven.key, redriven.why_not
    if json:
        print_json({"id": name, "redriven": key is not None, "key": key, "reason": why_not})
    else:
        console.print(f"{name}  {escape(f'stays: {why_not}' if key is None else f'is {key}')}", soft_wrap=True)


def _all_letters(ledger: Ledger) -> list[DeadLetter]:
    return ledger.dead_letters(sys.maxsize)[::-1]  # oldest first, as they came


def _letter(ledger: Ledger, id: str) -> DeadLetter:
    letter = ledger.dead_letter(id)
    if letter is None:
        raise NothingKnown(f"the ledger knows no dead letter called {id}", advice="Run: anew events list --dead")
    return letter


# --- Event Grid's dead letters ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class File:
    """What one file came to. `problem` says why none of it could be read."""

    path: Path
    found: Found = field(default_factory=Found)
    gave_up: Counter[str] = field(default_factory=Counter[str])  # why Event Grid gave up, and how often
    problem: str | None = None


def ingest_path(path: Path, *, dry_run: Annotated[bool, Parameter(negative=())] = False, json: bool = False) -> int:
    """Take in the blobs Event Grid wrote of events it could not deliver. Safe to repeat.

    Exits 2 if a file could not be read; the others are taken in all the same.

    Parameters
    ----------
    path
        A file, or a folder whose *.json files are read, however deep.
    dry_run
        Say what would be taken in, and take in nothing. Of an event in two files both are counted.
    json
        Print one JSON object a file.
    """
    settings = load_settings()
    ledger = ledger_to_read(settings) if dry_run else open_ledger(settings)
    console = Console(highlight=False)
    total: Counter[str] = Counter()
    for file in _ingested(ledger, _files(path), {settings.workspace}, console, dry_run=dry_run, quiet=json):
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
        raise InvalidRequest(f"{path}: no such file or folder", advice="Name what you downloaded from the container")
    return [path]


def _ingested(
    ledger: Ledger,
    files: Sequence[Path],
    workspaces: Collection[Workspace],
    console: Console,
    *,
    dry_run: bool,
    quiet: bool,
) -> Iterator[File]:
    from rich.progress import track

    hidden = quiet or not console.is_terminal
    for path in track(files, "reading", console=console, transient=True, disable=hidden):
        yield _ingest_file(ledger, path, workspaces, dry_run=dry_run)


def _ingest_file(ledger: Ledger, path: Path, workspaces: Collection[Workspace], *, dry_run: bool) -> File:
    try:
        blob = read_blob(path.read_bytes(), workspaces)
    except OSError as error:
        return File(path, problem=error.strerror or str(error))
    except MalformedBody as error:
        return File(path, problem=str(error))
    return File(path, ingest(ledger, blob, datetime.now(UTC), dry_run=dry_run), _reasons(blob))


def _reasons(blob: Sequence[Undelivered]) -> Counter[str]:
    return Counter(undelivered.gave_up for undelivered in blob if undelivered.gave_up)


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


# --- what Azure knows -------------------------------------------------------------------------------------


def replay_missed(
    *,
    since: datetime,
    until: datetime | None = None,
    rate: Annotated[float, Parameter(validator=Number(gt=0, lte=1000))] = 5,
    dry_run: Annotated[bool, Parameter(negative=())] = False,
    json: bool = False,
) -> None:
    """Ask Azure what happened that no event told of, and put it into the inbox. Safe to interrupt and to repeat.

    That is drift of the monitors policies name, and completed runs that a policy claims.

    Parameters
    ----------
    since
        From when on, such as 2026-07-14T12:00; without an offset it is UTC.
    until
        To when; default: now.
    rate
        Events a second at most.
    dry_run
        Say what was missed, and take in nothing.
    json
        Print one JSON object.
    """
    now = datetime.now(UTC)
    first, last = as_utc(since), as_utc(until) if until else now
    if not first < last <= now:
        raise InvalidRequest(
            f"from {first.isoformat()} to {last.isoformat()} is no time that has passed",
            advice="Run: anew events replay --since T --until T, the earlier first",
        )
    engine = build_engine(load_settings(), actor="replay")
    play = Replay(engine, first, last, json=json)
    if dry_run:
        play.show()
    else:
        play.run(rate, lambda: datetime.now(UTC), lambda pause: time.sleep(pause.total_seconds()))


def as_utc(moment: datetime) -> datetime:
    """The moment with an offset: UTC, unless it has one."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


class Replay:
    """One replay, told on standard output. Asks Azure when it is made."""

    def __init__(self, engine: Engine, since: datetime, until: datetime, *, json: bool) -> None:
        self._ledger = engine.ledger
        self._window = {"since": since, "until": until}
        self._json = json
        self._console = Console(highlight=False)
        self._missed = missed_between(engine, since, until)

    def show(self) -> None:
        """What was missed."""
        if self._json:
            print_json({**self._window, "missed": [_event_json(event) for event in self._missed], "new": 0})
            return
        for event in self._missed:
            about = (event.drift and event.drift.monitor) or event.experiment or ""
            told = f"{event.time:%Y-%m-%d %H:%M:%S}Z  {about}  {event.run_id}"
            self._console.print(escape(told), soft_wrap=True)
        self._console.print(f"{len(self._missed)} missed, dry run.")

    def run(self, rate: float, clock: Callable[[], datetime], sleep: Callable[[timedelta], None]) -> None:
        """Take in what was missed, *rate* a second at most. Interrupted, it says how far it came."""
        from rich.progress import Progress

        new = 0
        hidden = self._json or not self._console.is_terminal
        with Progress(console=self._console, transient=True, disable=hidden) as progress:
            task = progress.add_task("taking in", total=len(self._missed))
            try:
                for count in replay(self._ledger, self._missed, rate, clock, sleep):
                    new += count
                    progress.update(task, advance=count)
            except KeyboardInterrupt:
                sys.stderr.write(f"{new} of {len(self._missed)} taken in; run the same again for the rest\n")
                raise
        if self._json:
            print_json({**self._window, "missed": [_event_json(event) for event in self._missed], "new": new})
            return
        self._console.print(f"{len(self._missed)} missed, {new} new in the inbox.")
        if new:
            self._console.print(_NEXT, soft_wrap=True)


def _event_json(event: Event) -> dict[str, Any]:
    return {"key": event.key, **event_line(event)}
