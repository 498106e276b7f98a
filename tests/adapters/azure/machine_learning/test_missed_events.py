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
def test_drift_is_found_with_what_was_measured(clients: RealClients, kind: Kind) -> None:
    name = f"measured-by-{kind}"
    [told] = {event.drift for event in monitor_speaks(clients, kind, name)}

    [known] = [event.drift for event in found_of(clients, kind, name)]

    assert told is not None
    assert known is not None
    assert (known.monitor, known.coefficient, known.breaches) == (told.monitor, told.coefficient, told.breaches)


@pytest.mark.parametrize("kind", ["dataset", "model"])
def test_monitor_that_saw_no_drift_is_not_reported(clients: RealClients, kind: Kind) -> None:
    name = f"quiet-{kind}"
    monitor_speaks(clients, kind, name, coefficient=0.1)

    assert found_of(clients, kind, name) == []


def test_policy_may_name_the_signal_instead_of_the_monitor(clients: RealClients) -> None:
    [told] = monitor_speaks(clients, "model", "by-signal")[:1]

    assert told.drift is not None
    assert told.key in {event.key for event in found(clients, str(told.drift.monitor))}


def test_runs_of_monitors_nobody_watches_are_not_looked_at(clients: RealClients) -> None:
    told = {event.key for event in monitor_speaks(clients, "model", "unwatched")}

    assert not told & {event.key for event in found(clients, "something-else")}


def test_completed_runs_of_an_experiment_are_found_under_the_keys_of_their_events(clients: RealClients) -> None:
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


def test_run_that_completes_after_it_was_listed_is_found(clients: RealClients) -> None:
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
def test_drift_that_azure_saw_is_confirmed_with_what_azure_saw(clients: RealClients, kind: Kind) -> None:
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
def test_exaggerated_event_is_confirmed_for_no_more_than_azure_saw(clients: RealClients, kind: Kind) -> None:
    [*_, claimed] = monitor_speaks(clients, kind, f"exaggerated-{kind}", coefficient=0.4)
    assert claimed.drift is not None
    told_values = [claimed.drift.coefficient, *(breach.value for breach in claimed.drift.breaches)]
    breaches = tuple(structs.replace(breach, value=99.0) for breach in claimed.drift.breaches)
    exaggerated = structs.replace(claimed, drift=structs.replace(claimed.drift, coefficient=0.99, breaches=breaches))

    told = clients.missed.confirm([exaggerated], datetime.now(UTC))[claimed.key]

    assert told.drift is not None
    assert [told.drift.coefficient, *(breach.value for breach in told.drift.breaches)] == told_values


def test_breach_of_one_monitor_is_not_confirmed_as_anothers(clients: RealClients) -> None:
    [*_, claimed] = monitor_speaks(clients, "model", "borrowed-breach")

    told = clients.missed.confirm([structs.replace(claimed, experiment="price-monitor")], datetime.now(UTC))

    assert told[claimed.key].experiment not in {"price-monitor", None}
    assert clients.missed.confirm([claimed], datetime.now(UTC))[claimed.key].experiment == claimed.experiment


def test_run_without_a_breach_confirms_none(clients: RealClients) -> None:
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
