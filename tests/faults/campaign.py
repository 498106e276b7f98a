"""Plays stories with a death in them, several at once, and says what came of each."""

import queue
import shutil
import signal
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from anew.adapters.ledger import SqlLedger
from tests.faults.all_stories import STORIES
from tests.faults.boundaries import Call, flawless_calls
from tests.faults.players import CALLS, go_on, play_and_die, prepare, rehearse
from tests.faults.verdict import Journal, Verdict, judge, told
from tests.faults.world import PATIENCE, World, copy_world, lasting_port, running_azure, start, write_policies

AT_ONCE = 2
_TRIES = 5

NewLedger = Callable[[], AbstractContextManager[str | None]]
"""Gives the URL of an empty ledger, or None for one in the folder of the world."""


@dataclass(frozen=True, slots=True)
class Case:
    """One story, and where the process dies: before this call of the flawless run, or after all of them."""

    story: str
    gap: int
    calls: tuple[Call, ...]

    def __str__(self) -> str:
        where = f"before {self.calls[self.gap].name}" if self.gap < len(self.calls) else "after all"
        return f"{self.story}, gap {self.gap} ({where})"


@dataclass(frozen=True, slots=True)
class AzureCase:
    """One story, and after how many entries of its journal local Azure dies: once they are durable, or just before."""

    story: str
    lifetime: int
    durable: bool

    def __str__(self) -> str:
        return f"{self.story}, local Azure dies {'after' if self.durable else 'at'} its entry {self.lifetime}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a case; `story` tells it when it is not good."""

    case: Case | AzureCase
    verdict: Verdict
    story: str = ""


class AnotherWayError(AssertionError):
    """A story did not come to the point at which its process was to die."""


class Stage:
    """Prepared worlds, one for each case that is played at the same time."""

    def __init__(self, folder: Path, templates: Sequence[World]) -> None:
        self._folder = folder
        self._numbers = count()
        self._free: queue.SimpleQueue[World] = queue.SimpleQueue()
        for template in templates:
            self._free.put(template)

    def rehearse(self, story: str) -> tuple[Call, ...]:
        """The calls of the story when nothing goes wrong."""
        with self.world(story) as world, running_azure(world):
            finish(start(rehearse, world, story), 0)
            return flawless_calls(world.folder / CALLS)

    def journal_growth(self, story: str) -> int:
        """How many entries Azure's journal gets in the story."""
        with self.world(story) as world, running_azure(world):
            since = len(world.journal())
            finish(start(go_on, world, story), 0)
            return len(world.journal()) - since

    def play(self, case: Case | AzureCase, new_ledger: NewLedger) -> Outcome:
        """Let the process die, let another one go on, and look at what came of it.

        How often a story looks at Azure depends on how fast it is: one that went another way than in the rehearsal is
        played again. Raises AnotherWayError when it never goes the same way.
        """
        for _ in range(_TRIES - 1):
            with suppress(AnotherWayError):
                return self._play_once(case, new_ledger)
        return self._play_once(case, new_ledger)

    def _play_once(self, case: Case | AzureCase, new_ledger: NewLedger) -> Outcome:
        with new_ledger() as url, self.world(case.story, url) as world:
            return _killed(case, world) if isinstance(case, Case) else _killed_azure(case, world)

    def play_all(self, cases: Iterable[Case | AzureCase], new_ledger: NewLedger) -> Iterator[Outcome]:
        """As many at once as there are worlds."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            yield from pool.map(lambda case: self.play(case, new_ledger), cases)

    @contextmanager
    def world(self, story: str, ledger_url: str | None = None) -> Generator[World]:
        """A fresh world that nobody else is in."""
        template = self._free.get()
        folder = self._folder / f"{next(self._numbers)}"
        try:
            world = copy_world(template, folder, ledger_url)
            for name, document in STORIES[story].policies.items():
                write_policies(world.folder / name, document)
            yield world
        finally:
            shutil.rmtree(folder)
            self._free.put(template)


@contextmanager
def prepared_stage(folder: Path, worlds: int = AT_ONCE) -> Generator[Stage]:
    """Worlds in which version 1 serves and drift was seen."""
    with ThreadPoolExecutor(worlds) as pool:
        templates = pool.map(lambda number: _template(folder / f"template-{number}"), range(worlds))
        yield Stage(folder, list(templates))


def _template(folder: Path) -> World:
    folder.mkdir()
    world = World(folder, lasting_port(), f"sqlite:///{folder}/ledger.db")
    with running_azure(world):
        finish(start(prepare, world), 0)
    return world


def finish(process: ForkServerProcess, exitcode: int) -> None:
    """Wait for the end of a process, which must be this one."""
    process.join(PATIENCE)
    if process.exitcode is None:
        process.kill()
    assert process.exitcode == exitcode, f"a process ended with {process.exitcode}, not {exitcode}"


def _killed(case: Case, world: World) -> Outcome:
    with running_azure(world):
        since = world.journal()[-1]["seq"]
        victim = start(play_and_die, world, case.story, case.gap, len(case.calls))
        victim.join(PATIENCE)
        _check_died_as_planned(case, victim, (world.folder / CALLS).read_text().split())
        survivor = start(go_on, world, case.story)
        survivor.join(PATIENCE)
        return _outcome(case, world, since, survivor)


def _check_died_as_planned(case: Case, victim: ForkServerProcess, calls: Sequence[str]) -> None:
    # Otherwise the death would have been somewhere else than the case says.
    planned = [call.name for call in case.calls[: case.gap + 1]]
    if victim.exitcode != -signal.SIGKILL or list(calls) != planned:
        victim.kill()
        raise AnotherWayError(f"{case}: ended with {victim.exitcode} after {' '.join(calls[-5:])}")


def _killed_azure(case: AzureCase, world: World) -> Outcome:
    with running_azure(world):
        since = world.journal()[-1]["seq"]
    with running_azure(world, case.lifetime, durable=case.durable) as azure:
        survivor = start(go_on, world, case.story)
        _until_either_ended(azure, survivor)
        if azure.exitcode != -signal.SIGKILL:
            survivor.kill()
            raise AnotherWayError(f"{case}: local Azure is {azure.exitcode}, the story {survivor.exitcode}")
    with running_azure(world):
        survivor.join(PATIENCE)
        return _outcome(case, world, since, survivor)


def _until_either_ended(*processes: ForkServerProcess) -> None:
    deadline = time.monotonic() + PATIENCE
    while all(process.is_alive() for process in processes) and time.monotonic() < deadline:
        time.sleep(0.01)


def _outcome(case: Case | AzureCase, world: World, since: int, survivor: ForkServerProcess) -> Outcome:
    survivor.kill()
    survivor.join()
    ledger = SqlLedger.open(world.ledger_url, migrate=False)
    try:
        verdict = judge(STORIES[case.story], Journal(world.journal(), since), ledger)
        return Outcome(case, verdict, "" if verdict.is_good else told(ledger))
    finally:
        ledger.close()
