"""The obligations of MissedEvents, numbered as in engine/base/ports.py: in memory and by local Azure's own records."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import pytest
from msgspec import structs

from anew.adapters.azure.machine_learning.missed_events import AzureMissedEvents
from anew.adapters.memory.azure import MemoryAzure
from anew.adapters.memory.evidence import MemoryMissedEvents
from anew.core.events.event import Cause, Drift, Event, EventType, event_key
from anew.core.events.parsing import parse_event
from anew.emulator.base.state import Document
from anew.emulator.machine_learning.runs import record_run
from anew.emulator.monitors.monitors import Reading
from anew.emulator.monitors.runs import Monitor, Observation, report
from anew.engine.base.ports import MissedEvents
from tests.contract.azure_worlds import real_clients
from tests.emulator.support import WORKSPACE_ID
from tests.event_data import WORKSPACE

CONTRACT = {MissedEvents: (MemoryMissedEvents, AzureMissedEvents)}

HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class World:
    """The port, and what happens in Azure: a monitor sees drift, which gives the events; a run of an experiment
    completes; and an event claims drift that never was.
    """

    missed: MissedEvents
    drift: Callable[[str], list[Event]]
    complete: Callable[[str, str], object]
    forge: Callable[[Event], Event]


@contextmanager
def memory_world() -> Generator[World]:
    azure = MemoryAzure()

    def happen(event: Event) -> Event:
        azure.happened.append(event)
        return event

    def drift(monitor: str) -> list[Event]:
        now = datetime.now(UTC)
        type_, subject = EventType.DATASET_DRIFT_DETECTED, f"datadrift/d/run/{monitor}"
        seen = Drift(monitor, coefficient=0.6)
        return [happen(Event(type_, monitor, WORKSPACE, subject, now, run_id=monitor, drift=seen, cause=Cause.DRIFT))]

    def complete(run: str, experiment: str) -> None:
        now, subject = datetime.now(UTC), f"experiments/{experiment}/runs/{run}"
        completed = Event(EventType.RUN_COMPLETED, run, WORKSPACE, subject, now, run_id=run, cause=Cause.RUN_COMPLETED)
        happen(structs.replace(completed, experiment=experiment))

    def forge(event: Event) -> Event:
        forged = structs.replace(event, run_id="made-up")
        azure.forged.add(forged.key)
        return forged

    yield World(MemoryMissedEvents(azure), drift, complete, forge)


@contextmanager
def azure_world(folder: Path, kind: Literal["dataset", "model"]) -> Generator[World]:
    """Monitors of v1 (`dataset`) or v2 (`model`)."""
    with real_clients(folder) as clients:
        cloud = clients.azure.cloud
        published: list[Document] = []
        cloud.on_event(published.append)

        def drift(monitor: str) -> list[Event]:
            published.clear()
            now = datetime.now(UTC)
            seen = Observation(0.6, [Reading("a", "NormalizedWassersteinDistance", 0.6, 0.3)], now - HOUR, now)
            report(cloud, WORKSPACE_ID, Monitor(kind, monitor, 0.3, 100), seen)
            parsed = [parse_event(event) for event in published]
            return [event for event in parsed if isinstance(event, Event) and event.cause is Cause.DRIFT]

        def complete(run: str, experiment: str) -> None:
            record_run(cloud, WORKSPACE_ID, run, experiment=experiment, status="Completed", tags={}, properties={})

        yield World(clients.missed, drift, complete, lambda event: structs.replace(event, run_id="made-up"))


@pytest.fixture(scope="module", params=["memory", "dataset", "model"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[World]:
    made = (
        memory_world() if request.param == "memory" else azure_world(tmp_path_factory.mktemp("missed"), request.param)
    )
    with made as ready:
        yield ready


def found(world: World, monitor: str, *, since: timedelta = HOUR) -> set[str]:
    now = datetime.now(UTC)
    return {event.key for event in world.missed.drift({monitor}, now - since, now)}


# --- 1: drift ---------------------------------------------------------------------------------------------


def test_drift_is_found_by_the_keys_of_its_events(world: World) -> None:
    """A late event finds its key known, so that it is not handled twice."""
    sent = {event.key for event in world.drift("watched")}

    assert sent
    assert sent <= found(world, "watched")
    assert sent <= found(world, "WATCHED")


def test_drift_before_the_window_is_left_out(world: World) -> None:
    """The window begins at `since`."""
    world.drift("too-early")

    assert found(world, "too-early", since=-HOUR) == set()


# --- 2: completed runs ------------------------------------------------------------------------------------


def test_completed_runs_of_the_experiments_are_found(world: World) -> None:
    """The runs of these experiments come as events, those of others do not."""
    world.complete("run-of-nightly", "nightly")
    world.complete("run-of-weekly", "weekly")
    now = datetime.now(UTC)

    [event] = world.missed.completed({"nightly"}, now - HOUR, now)

    assert event.key == event_key(event.workspace, Cause.RUN_COMPLETED, "run-of-nightly")
    assert (event.cause, event.experiment) == (Cause.RUN_COMPLETED, "nightly")
    assert world.missed.completed({"nightly"}, now + HOUR, now + HOUR) == []


# --- 3: confirming ----------------------------------------------------------------------------------------


def test_real_drift_is_confirmed(world: World) -> None:
    """An event that Azure knows is confirmed by its key."""
    sent = world.drift("confirmed")

    assert set(world.missed.confirm(sent, datetime.now(UTC))) == {event.key for event in sent}


def test_forged_drift_is_left_out(world: World) -> None:
    """An event about a run that does not exist is not confirmed."""
    forged = [world.forge(event) for event in world.drift("forged")]

    assert world.missed.confirm(forged, datetime.now(UTC)) == {}
