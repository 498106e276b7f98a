"""What Azure reports of drift and completed runs, beyond the obligations of MissedEvents in tests/contract."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest
from msgspec import structs

from anew.core.events.event import Cause, Event, event_key
from anew.core.events.parsing import parse_event
from anew.emulator.base.state import Document
from anew.emulator.machine_learning.runs import change_status, record_run
from anew.emulator.monitors.monitors import Reading
from anew.emulator.monitors.runs import Monitor, Observation, report
from tests.contract.azure_worlds import RealClients, real_clients
from tests.emulator.support import WORKSPACE_ID

HOUR = timedelta(hours=1)
Kind = Literal["dataset", "model"]


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealClients]:
    with real_clients(tmp_path_factory.mktemp("missed")) as ready:
        yield ready


def monitor_speaks(clients: RealClients, kind: Kind, name: str, *, coefficient: float = 0.6) -> list[Event]:
    """The drift events that a monitor published when it saw this."""
    published: list[Document] = []
    clients.azure.cloud.on_event(published.append)
    now = datetime.now(UTC)
    breaches = [Reading("a", "NormalizedWassersteinDistance", coefficient, 0.3)] if coefficient > 0.3 else []
    seen = Observation(coefficient, breaches, now - HOUR, now)
    report(clients.azure.cloud, WORKSPACE_ID, Monitor(kind, name, 0.3, 100), seen)
    parsed = [parse_event(event) for event in published]
    return [event for event in parsed if isinstance(event, Event) and event.cause is Cause.DRIFT]


def found_of(clients: RealClients, kind: Kind, name: str) -> list[Event]:
    """What is found of one monitor: a v1 monitor has a coefficient, a v2 monitor breaches."""
    return [
        event
        for event in found(clients, name)
        if event.drift and name in (event.drift.monitor or "") and bool(event.drift.breaches) == (kind == "model")
    ]


def found(clients: RealClients, name: str, *, since: timedelta = HOUR) -> list[Event]:
    now = datetime.now(UTC)
    return clients.missed.drift({name}, now - since, now)


@pytest.mark.parametrize("kind", ["dataset", "model"])
def test_missed_drift_has_its_measurements(clients: RealClients, kind: Kind) -> None:
    """A poll finds missed drift with the same monitor, coefficient and breaches as its event."""
    name = f"measured-by-{kind}"
    [told] = {event.drift for event in monitor_speaks(clients, kind, name)}

    [known] = [event.drift for event in found_of(clients, kind, name)]

    assert told is not None
    assert known is not None
    assert (known.monitor, known.coefficient, known.breaches) == (told.monitor, told.coefficient, told.breaches)


@pytest.mark.parametrize("kind", ["dataset", "model"])
def test_monitor_without_drift_is_not_reported(clients: RealClients, kind: Kind) -> None:
    """A monitor that saw no drift is not reported."""
    name = f"quiet-{kind}"
    monitor_speaks(clients, kind, name, coefficient=0.1)

    assert found_of(clients, kind, name) == []


def test_policy_may_name_the_signal(clients: RealClients) -> None:
    """A policy may name the signal of a monitor instead of the monitor."""
    [told] = monitor_speaks(clients, "model", "by-signal")[:1]

    assert told.drift is not None
    assert told.key in {event.key for event in found(clients, str(told.drift.monitor))}


def test_unwatched_monitors_are_ignored(clients: RealClients) -> None:
    """Runs of monitors that no policy watches are not reported."""
    told = {event.key for event in monitor_speaks(clients, "model", "unwatched")}

    assert not told & {event.key for event in found(clients, "something-else")}


def test_completed_runs_have_event_keys(clients: RealClients) -> None:
    """Completed runs of an experiment are found under the keys that their events have."""
    for name, experiment, status in (
        ("nightly-1", "nightly", "Completed"),
        ("nightly-2", "nightly", "Failed"),
        ("other-1", "nightly-too", "Completed"),
    ):
        record_run(
            clients.azure.cloud,
            WORKSPACE_ID,
            name,
            experiment=experiment,
            status=status,
            tags={"owner": "team-a"},
            properties={},
        )
    now = datetime.now(UTC)

    [event] = clients.missed.completed({"nightly"}, now - HOUR, now)

    assert event.key == event_key(event.workspace, Cause.RUN_COMPLETED, "nightly-1")
    assert (event.experiment, event.tags) == ("nightly", {"owner": "team-a"})
    assert clients.missed.completed({"nightly"}, now + HOUR, now + HOUR) == []


def test_late_completion_is_found(clients: RealClients) -> None:
    """A run that completes after it was first listed is found by the next poll."""
    job = record_run(
        clients.azure.cloud,
        WORKSPACE_ID,
        "weekly-1",
        experiment="weekly",
        status="Running",
        tags={},
        properties={},
    )
    now = datetime.now(UTC)
    assert clients.missed.completed({"weekly"}, now - HOUR, now) == []

    change_status(clients.azure.cloud, job["id"], "Completed")

    assert [event.run_id for event in clients.missed.completed({"weekly"}, now - HOUR, now)] == ["weekly-1"]


# --- confirming -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["dataset", "model"])
def test_confirmation_matches_azure(clients: RealClients, kind: Kind) -> None:
    """Genuine drift is confirmed with the monitor, coefficient and breaches that Azure recorded."""
    claimed = monitor_speaks(clients, kind, f"confirmed-{kind}")

    told = clients.missed.confirm(claimed, datetime.now(UTC))

    assert {event.key for event in claimed} == set(told)
    for event in claimed:
        seen = told[event.key].drift
        assert seen is not None
        assert event.drift is not None
        assert (seen.monitor, seen.coefficient, seen.breaches) == (
            event.drift.monitor,
            event.drift.coefficient,
            event.drift.breaches,
        )


@pytest.mark.parametrize("kind", ["dataset", "model"])
def test_exaggerated_event_is_corrected(clients: RealClients, kind: Kind) -> None:
    """An exaggerated event is confirmed only with the values that Azure recorded."""
    [*_, claimed] = monitor_speaks(clients, kind, f"exaggerated-{kind}", coefficient=0.4)
    assert claimed.drift is not None
    told_values = [claimed.drift.coefficient, *(breach.value for breach in claimed.drift.breaches)]
    breaches = tuple(structs.replace(breach, value=99.0) for breach in claimed.drift.breaches)
    exaggerated = structs.replace(claimed, drift=structs.replace(claimed.drift, coefficient=0.99, breaches=breaches))

    told = clients.missed.confirm([exaggerated], datetime.now(UTC))[claimed.key]

    assert told.drift is not None
    assert [told.drift.coefficient, *(breach.value for breach in told.drift.breaches)] == told_values


def test_breach_stays_with_its_monitor(clients: RealClients) -> None:
    """A breach of one monitor is not confirmed for another."""
    [*_, claimed] = monitor_speaks(clients, "model", "borrowed-breach")

    told = clients.missed.confirm([structs.replace(claimed, experiment="price-monitor")], datetime.now(UTC))

    assert told[claimed.key].experiment not in {"price-monitor", None}
    assert clients.missed.confirm([claimed], datetime.now(UTC))[claimed.key].experiment == claimed.experiment


def test_run_without_breach_is_not_confirmed(clients: RealClients) -> None:
    """A drift event that names a run without a breach is not confirmed."""
    [*_, breach] = monitor_speaks(clients, "model", "quiet-monitor")
    quiet = record_run(
        clients.azure.cloud,
        WORKSPACE_ID,
        "quiet-run",
        experiment="quiet-monitor",
        status="Completed",
        tags={},
        properties={},
    )

    assert clients.missed.confirm([structs.replace(breach, run_id=quiet["name"])], datetime.now(UTC)) == {}
