"""The runs somebody watches are found among thousands of others by listing only what is new."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from anew.adapters.azure.machine_learning.root_runs import RootRuns, is_monitor

START = datetime(2026, 7, 14, 12, tzinfo=UTC)
WATCHED = frozenset({"price-monitor"})


def job(name: str, minute: int, *, monitor: bool = False, status: str = "Completed") -> Any:
    return SimpleNamespace(
        name=name,
        status=status,
        experiment_name="price-monitor" if monitor else "training",
        display_name=name,
        creation_context=SimpleNamespace(created_at=START + timedelta(minutes=minute)),
    )


@dataclass
class Workspace:
    """Jobs, oldest first; counts what was listed and read."""

    jobs: list[Any] = field(default_factory=list[Any])
    listed: int = 0
    read: list[str] = field(default_factory=list[str])
    roots: RootRuns = field(default_factory=lambda: RootRuns(is_monitor))

    def look(self, *, since: datetime = START, watched: frozenset[str] = WATCHED) -> dict[str, str]:
        self.listed, self.read = 0, []
        return {str(root.name): root.status for root in self.roots.look(self._list(), self._read, watched, since)}

    def _list(self) -> Iterator[Any]:
        for each in reversed(self.jobs):
            self.listed += 1
            yield each

    def _read(self, name: str) -> Any:
        self.read.append(name)
        return next(each for each in self.jobs if each.name == name)


def busy(count: int = 2000) -> Workspace:
    """A workspace with so many trainings, and one ended monitor run amid them."""
    jobs = [job(f"t{n}", n) for n in range(count)]
    jobs.insert(count // 2, job("monitor-1", count // 2, monitor=True))
    return Workspace(jobs)


def test_second_poll_lists_little() -> None:
    """A second poll lists one or two pages and finds the same runs."""
    workspace = busy()
    assert workspace.look() == {"monitor-1": "Completed"}
    assert workspace.listed > 2000

    assert workspace.look() == {"monitor-1": "Completed"}

    assert workspace.listed < 60
    assert workspace.read == []


def test_new_runs_are_found_among_many() -> None:
    """A poll finds a new run however many others came with it, without a full listing."""
    workspace = busy()
    workspace.look()
    workspace.jobs.append(job("monitor-2", 3000, monitor=True))
    workspace.jobs += [job(f"later{n}", 3001 + n) for n in range(500)]

    assert "monitor-2" in workspace.look()
    assert workspace.listed < 600


def test_open_run_is_read_until_ended() -> None:
    """A run that has not ended is read again by each poll until it ends."""
    workspace = busy()
    workspace.jobs.insert(5, job("slow", 5, monitor=True, status="Running"))
    assert workspace.look()["slow"] == "Running"
    workspace.jobs[5].status = "Completed"

    assert workspace.look()["slow"] == "Completed"
    assert workspace.read in ([], ["slow"])
    workspace.look()
    assert workspace.read == []


def test_open_runs_are_read_in_turn() -> None:
    """Of very many open runs each poll reads a limited number, and all get their turn."""
    workspace = Workspace([job(f"slow{n}", n, monitor=True, status="Running") for n in range(120)])
    workspace.look()
    workspace.jobs = [job(f"slow{n}", n, monitor=True) for n in range(120)]

    reads: list[str] = []
    for _ in range(3):
        workspace.look()
        assert len(workspace.read) <= 50
        reads += workspace.read

    assert len(set(reads)) == len(reads)
    assert set(workspace.look().values()) == {"Completed"}


def test_broken_listing_is_repeated() -> None:
    """A listing that breaks off is repeated in full by the next poll."""
    workspace = busy()

    def broken() -> Iterator[Any]:
        yield from list(reversed(workspace.jobs))[:100]
        raise ConnectionError

    with pytest.raises(ConnectionError):
        workspace.roots.look(broken(), lambda _: None, WATCHED, START)

    assert workspace.look() == {"monitor-1": "Completed"}


@pytest.mark.parametrize("change", ["watched", "since"])
def test_wider_query_lists_everything(change: str) -> None:
    """A poll for more experiments or an earlier start lists everything again."""
    workspace = busy()
    workspace.look(since=START + timedelta(minutes=1500))

    if change == "watched":
        found = workspace.look(since=START, watched=WATCHED | {"another"})
    else:
        found = workspace.look(since=START)

    assert found == {"monitor-1": "Completed"}


def test_old_runs_are_forgotten() -> None:
    """Runs older than the start of the query are forgotten."""
    workspace = busy()
    workspace.look()

    assert workspace.look(since=START + timedelta(minutes=1500)) == {}
