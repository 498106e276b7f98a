"""The webhook over HTTP: what it answers, what it keeps, and what it never says."""

import json
import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette

from anew.adapters.ledger import SqlLedger
from anew.adapters.memory_flows import MemoryFlows
from anew.core.events import Event
from anew.engine.ports import Flows, InboxEntry, Ledger, Receipt, Source
from anew.errors import InvalidSettings, LedgerUnavailable
from anew.webhook.app import create_app
from anew.webhook.config import WebhookConfig
from tests.event_data import DATA, NOW, WORKSPACE, load

SECRET = "a-secret-of-some-length"
URL = f"/events?code={SECRET}"
CONFIG = WebhookConfig(secrets=(SECRET,), subscriptions=frozenset({"anew"}), workspaces=frozenset({WORKSPACE}))
DRIFT = (DATA / "drift.cloud.json").read_bytes()


class LedgerAway(SqlLedger):
    """A ledger whose database cannot be reached."""

    def receive(self, events: Sequence[Event], source: Source, now: datetime) -> Receipt:
        raise LedgerUnavailable("database is locked")

    def entries(self, limit: int = 50) -> list[InboxEntry]:
        raise LedgerUnavailable("database is locked")


@contextmanager
def client_of(ledger: Ledger, flows: Flows | None = None, config: WebhookConfig = CONFIG) -> Generator[httpx.Client]:
    with serving(create_app(ledger, flows, config, lambda: NOW)) as url, httpx.Client(base_url=url) as client:
        yield client


@contextmanager
def serving(app: Starlette) -> Generator[str]:
    server = uvicorn.Server(uvicorn.Config(app, port=0, access_log=False, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)


@pytest.fixture
def ledger() -> SqlLedger:
    return SqlLedger.in_memory()


@pytest.fixture
def client(ledger: SqlLedger) -> Iterator[httpx.Client]:
    with client_of(ledger) as client:
        yield client


def until(holds: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# --- deliveries -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [path.name for path in sorted(DATA.glob("*.json")) if "validation" not in path.name])
def test_every_documented_payload_is_accepted(client: httpx.Client, name: str) -> None:
    answer = client.post(URL, content=(DATA / name).read_bytes())

    assert (answer.status_code, answer.json()["rejected"]) == (200, 0)


def test_accepted_event_is_in_the_ledger(client: httpx.Client, ledger: SqlLedger) -> None:
    client.post(URL, content=DRIFT)

    (entry,) = ledger.entries()
    assert (entry.event.run_id, entry.received_at) == ("01d29aa4-e6a4-470a-9ef3-66660d21f8ef_1571590300380", NOW)


def test_batch_with_one_bad_element_keeps_the_good_ones(client: httpx.Client, ledger: SqlLedger) -> None:
    answer = client.post(URL, json=[load("drift.cloud.json"), {"specversion": "1.0"}])

    assert answer.status_code == 200
    assert answer.json() == {"stored": 1, "ignored": 0, "rejected": 1, "reasons": ["type is missing"]}
    assert len(ledger.entries()) == 1


def test_body_with_nothing_good_is_400(client: httpx.Client) -> None:
    assert client.post(URL, json=[{}, 1]).status_code == 400
    assert client.post(URL, content=b"{").status_code == 400


def test_event_of_another_workspace_is_200_and_counted(client: httpx.Client, ledger: SqlLedger) -> None:
    answer = client.post(URL, json=load("drift.cloud.json") | {"source": WORKSPACE.arm_id + "x"})

    assert (answer.status_code, answer.json()["ignored"]) == (200, 1)
    assert ledger.ignored_counts()[0].reason == "workspace ws1x is not watched"


def test_ledger_that_is_away_is_503_so_that_event_grid_tries_again() -> None:
    with client_of(LedgerAway.in_memory()) as client:
        answer = client.post(URL, content=DRIFT)

        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
        assert client.get("/readyz").status_code == 503
        assert client.get("/healthz").status_code == 200


def test_ready_when_the_ledger_answers(client: httpx.Client) -> None:
    assert client.get("/readyz").json() == {"status": "ready"}


def test_body_over_the_cap_is_413_though_it_hides_its_length(client: httpx.Client) -> None:
    chunks = (b" " * 100_000 for _ in range(100))

    assert client.post(URL, content=chunks).status_code == 413


# --- handshakes and secrets -------------------------------------------------------------------------------


def test_validation_is_echoed(client: httpx.Client) -> None:
    headers = {"aeg-event-type": "SubscriptionValidation", "aeg-subscription-name": "ANEW"}

    answer = client.post(URL, json=load("validation.grid.batch.json"), headers=headers)

    assert answer.status_code == 200
    assert answer.json() == {"validationResponse": "512d38b6-c7b8-40c8-89fe-f46f9e9622b6"}


def test_cloud_events_consent_is_given(client: httpx.Client) -> None:
    answer = client.options(URL, headers={"WebHook-Request-Origin": "eventgrid.azure.net"})

    assert answer.status_code == 200
    assert answer.headers["WebHook-Allowed-Origin"] == "eventgrid.azure.net"
    assert answer.headers["WebHook-Allowed-Rate"] == "*"
    assert answer.headers["Allow"] == "POST"


def test_consent_without_the_secret_is_not_given(client: httpx.Client) -> None:
    answer = client.options("/events", headers={"WebHook-Request-Origin": "eventgrid.azure.net"})

    assert answer.status_code == 401
    assert not [name for name in answer.headers if name.startswith("webhook")]


def test_wrong_secret_stores_nothing(client: httpx.Client, ledger: SqlLedger) -> None:
    assert client.post("/events?code=wrong", content=DRIFT).status_code == 401
    assert ledger.entries() == []


def test_secret_is_never_logged(client: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="anew"):
        client.post(URL, content=DRIFT)
        client.post(URL + "x", content=b"{")

    assert "POST /events 200" in caplog.text
    assert SECRET not in "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("anew"))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.4", "anew.example.com"])
def test_webhook_without_a_secret_refuses_to_listen_beyond_loopback(host: str, ledger: SqlLedger) -> None:
    with pytest.raises(InvalidSettings, match="without a secret"):
        create_app(ledger, None, WebhookConfig(host=host), lambda: NOW)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_webhook_on_loopback_needs_no_secret(host: str, ledger: SqlLedger) -> None:
    with client_of(ledger, config=WebhookConfig(host=host)) as client:
        assert client.post("/events", content=DRIFT).status_code == 200


def test_short_secret_is_refused() -> None:
    with pytest.raises(InvalidSettings, match="shorter"):
        WebhookConfig(secrets=("short",)).validate()


# --- relay ------------------------------------------------------------------------------------------------


def test_stored_event_is_hinted_without_waiting_for_the_interval(ledger: SqlLedger) -> None:
    flows = MemoryFlows()
    config = WebhookConfig(relay_interval=timedelta(hours=1))

    with client_of(ledger, flows, config) as client:
        client.post("/events", content=DRIFT)
        until(lambda: flows.hints)

    assert [event.cause for event in flows.hints] == ["drift"]


def test_prefect_that_is_away_does_not_touch_the_answer(ledger: SqlLedger) -> None:
    flows = MemoryFlows(down=True)
    config = WebhookConfig(relay_interval=timedelta(milliseconds=10))

    with client_of(ledger, flows, config) as client:
        assert client.post("/events", content=json.dumps(load("drift.cloud.json"))).status_code == 200
        flows.down = False
        until(lambda: flows.hints)
