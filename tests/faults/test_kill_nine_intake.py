"""Whenever the webhook or its relay is killed: what Event Grid sends is kept once, and gets its one flow run."""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from signal import SIGKILL

import pytest

from anew.adapters.azure.event_grid.subscriptions import subscribe_webhook
from anew.adapters.ledger import SqlLedger
from anew.emulator.client import LocalAzure
from anew.engine.base.ledger import Source
from anew.wiring import azure_access, event_grid_client
from tests.builders import drift_event
from tests.faults.boundaries import all_gaps, flawless_calls
from tests.faults.campaign import Stage, finish, prepared_stage
from tests.faults.intake_players import FileFlows, rehearse_relay, relay_and_die, relay_on, serve_webhook
from tests.faults.players import CALLS
from tests.faults.world import MONITOR, WORKSPACE_ID, World, lasting_port, listens, running_azure, start, wait_until

STORY = "pipeline"
SUBSCRIPTION = "anew"

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Generator[Stage]:
    with prepared_stage(tmp_path_factory.mktemp("intake"), 1) as prepared:
        yield prepared


# --- the webhook ------------------------------------------------------------------------------------------


def subscribe(world: World, port: int) -> None:
    """Let Event Grid deliver to the webhook on this port, and try again soon."""
    settings = world.settings()
    with LocalAzure(world.url) as azure:
        azure.set_modes(retry_scale=0.02)
    with event_grid_client(settings, azure_access(settings)) as client:
        subscribe_webhook(client, settings.workspace, f"http://127.0.0.1:{port}/events", SUBSCRIPTION)


def deliveries(world: World, event_id: str) -> list[int]:
    """The status of each attempt to deliver this event; 0 is no answer."""
    attempts: list[dict[str, object]] = [dict(e) for e in world.journal() if e["action"] == "delivery.attempt"]
    return [int(str(each["status"])) for each in attempts if each["event_id"] == event_id]


@pytest.mark.parametrize("gap", [0, 1], ids=["before it is kept", "after it is kept, before the answer"])
def test_killed_webhook_keeps_event_once(stage: Stage, gap: int) -> None:
    """A webhook killed during a delivery keeps the event once and answers only after that."""
    port = lasting_port()
    with stage.world(STORY) as world, running_azure(world):
        dying = start(serve_webhook, world, port, gap)
        wait_until(lambda: listens(port), "the webhook listens")
        subscribe(world, port)
        with LocalAzure(world.url) as azure:
            [event] = azure.observe(WORKSPACE_ID, kind="dataset", name=MONITOR, value=0.6)
        finish(dying, -SIGKILL)

        after = start(serve_webhook, world, port, None)
        wait_until(lambda: 200 in deliveries(world, event["id"]), "Event Grid delivers again")
        after.kill()
        after.join()

        ledger = SqlLedger.open(world.ledger_url, migrate=False)
        [entry] = ledger.entries()
        ledger.close()
        assert (entry.event.id, entry.deliveries) == (event["id"], gap + 1)
        assert deliveries(world, event["id"])[0] == 0, "nothing was answered before it was kept"
        assert (world.folder / CALLS).read_text().split() == ["ledger.receive"]


# --- the relay --------------------------------------------------------------------------------------------


def test_killed_relay_starts_one_run(stage: Stage) -> None:
    """A relay killed at any point still sends a hint and starts one flow run."""
    began = datetime.now(UTC)
    with waiting(stage, began) as world:
        finish(start(rehearse_relay, world, began), 0)
        calls = flawless_calls(world.folder / CALLS)
    assert [call.name for call in calls if call.name.startswith("flows")] == ["flows.hint", "flows.start"]

    for gap in all_gaps(calls):
        with waiting(stage, began) as world:
            finish(start(relay_and_die, world, began, gap, len(calls)), -SIGKILL)
            finish(start(relay_on, world, began), 0)

            flows = FileFlows(world.folder / "flows")
            assert flows.requests("hint"), f"gap {gap}: nobody was told"
            assert len(set(flows.requests("start"))) == 1, f"gap {gap}: {flows.requests('start')}"


@contextmanager
def waiting(stage: Stage, began: datetime) -> Generator[World]:
    """A world in whose ledger an event waits that nobody was told of."""
    with stage.world(STORY) as world:
        ledger = SqlLedger.open(world.ledger_url, migrate=False)
        ledger.receive([drift_event(at=began)], Source.WEBHOOK, began)
        ledger.close()
        yield world
