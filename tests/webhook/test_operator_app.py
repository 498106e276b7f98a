"""The operators' port: which part is down and since when, read only, and quick though the database hangs."""

import threading
import time
from datetime import datetime, timedelta
from typing import Any

import pytest

from anew.adapters.ledger import SqlLedger
from anew.adapters.memory.flows import MemoryFlows
from anew.engine.base.ledger import Backlog
from anew.errors import LedgerUnavailable
from anew.webhook.config import WebhookConfig
from tests.event_data import NOW, load
from tests.webhook.serving import URL, until, webhook_of

CONFIG = WebhookConfig(port=0, relay_interval=timedelta(milliseconds=10))


class Faulty(SqlLedger):
    """A ledger that cannot be asked when `fault` is set, and hangs until `hang` is."""

    fault: Exception | None = None
    hang: threading.Event | None = None

    def backlog(self) -> Backlog:
        if self.hang:
            self.hang.wait(20)
        if self.fault:
            raise self.fault
        return super().backlog()


@pytest.fixture
def ledger() -> Faulty:
    return Faulty.in_memory()


def test_health_ignores_the_ledger(ledger: Faulty) -> None:
    """A running process is healthy, whatever the state of its ledger."""
    ledger.fault = LedgerUnavailable("locked")

    with webhook_of(ledger) as webhook:
        assert webhook.operator.get("/healthz").json() == {"status": "ok"}


def test_webhook_with_ledger_is_ready(ledger: Faulty) -> None:
    """A webhook whose ledger answers is ready."""
    with webhook_of(ledger) as webhook:
        answer = webhook.operator.get("/readyz")

    assert (answer.status_code, answer.json()["status"]) == (200, "ready")
    assert answer.json()["prefect"]["status"] == "off"


@pytest.mark.parametrize("fault", [LedgerUnavailable("locked"), ZeroDivisionError()])
def test_webhook_without_ledger_is_not_ready(ledger: Faulty, fault: Exception) -> None:
    """A webhook is not ready while its ledger fails, and ready again afterwards."""
    ledger.fault = fault

    with webhook_of(ledger) as webhook:
        answer = webhook.operator.get("/readyz")
        ledger.fault = None
        again = webhook.operator.get("/readyz")

    assert (answer.status_code, answer.json()["status"], answer.json()["ledger"]["status"]) == (503, "down", "down")
    assert (again.status_code, again.json()["ledger"]["status"]) == (200, "up")


def test_hanging_ledger_blocks_one_thread(ledger: Faulty) -> None:
    """A hanging ledger is reported within seconds and blocks one thread at most."""
    ledger.hang = threading.Event()
    with webhook_of(ledger) as webhook:
        before, began = threading.active_count(), time.monotonic()
        answers = [webhook.operator.get(path) for path in ("/readyz", "/status", "/readyz")]
        took, threads = time.monotonic() - began, threading.active_count() - before
        ledger.hang.set()

    assert [answer.status_code for answer in answers] == [503] * 3
    assert answers[0].json()["ledger"]["detail"] == "no answer within 1 s"
    assert took < 10
    assert threads <= 1


def test_unavailable_prefect_degrades_readiness(ledger: Faulty) -> None:
    """An unavailable Prefect degrades the readiness and states since when."""
    times = iter(NOW + timedelta(seconds=second) for second in range(100_000))

    def clock() -> datetime:
        return next(times)

    with webhook_of(ledger, MemoryFlows(down=True), CONFIG, clock=clock) as webhook:

        def prefect() -> Any:
            return webhook.operator.get("/readyz").json()["prefect"]

        webhook.public.post(URL, json=load("drift.cloud.json"))
        until(lambda: prefect()["status"] == "down")
        since = prefect()["since"]
        answer = webhook.operator.get("/readyz")

    assert (answer.status_code, answer.json()["status"], answer.json()["prefect"]["since"]) == (200, "degraded", since)


def test_parts_state_their_last_success(ledger: Faulty) -> None:
    """The relay, the commits and Prefect state when they last succeeded."""
    with webhook_of(ledger, MemoryFlows(), CONFIG) as webhook:
        assert webhook.operator.get("/readyz").json()["commits"]["last_success"] is None
        webhook.public.post(URL, json=load("drift.cloud.json"))
        until(lambda: webhook.operator.get("/readyz").json()["prefect"]["last_success"])
        parts = webhook.operator.get("/readyz").json()

    assert {parts[name]["last_success"] for name in ("commits", "relay", "prefect")} == {NOW.isoformat()}


def test_status_counts_waiting_events(ledger: Faulty) -> None:
    """The status counts waiting events and dead letters and states the longest wait."""
    now = [NOW]
    with webhook_of(ledger, clock=lambda: now[0]) as webhook:
        webhook.public.post(URL, json=[load("drift.cloud.json"), load("run-completed.cloud.json"), {}])
        webhook.public.post(URL, json=load("model-deployed.cloud.json"))  # settled at once
        now[0] += timedelta(minutes=2)
        status = webhook.operator.get("/status").json()

    assert status.pop("health")["status"] == "ready"
    assert status == {"waiting": 2, "oldest_waiting_seconds": 120, "dead_letters": 1, "open_retrainings": 0}


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/status"])
def test_operator_port_is_read_only(ledger: Faulty, path: str) -> None:
    """The port of the operators is read only."""
    with webhook_of(ledger) as webhook:
        assert webhook.operator.post(path).status_code == 405
        assert webhook.operator.head(path).status_code == 200


def test_operator_port_takes_no_events(ledger: Faulty) -> None:
    """The port of the operators takes no events."""
    with webhook_of(ledger) as webhook:
        assert webhook.operator.post(URL, json=load("drift.cloud.json")).status_code == 404


@pytest.mark.parametrize(
    ("config", "address"),
    [
        (WebhookConfig(), ("127.0.0.1", 8711)),
        (WebhookConfig(host="0.0.0.0", port=80), ("127.0.0.1", 81)),
        (WebhookConfig(port=0), ("127.0.0.1", 0)),
        (WebhookConfig(operator_host="10.0.0.4", operator_port=9000), ("10.0.0.4", 9000)),
    ],
)
def test_operator_port_defaults_to_loopback(config: WebhookConfig, address: tuple[str, int]) -> None:
    """The port of the operators is on loopback, next to the public one, unless configured."""
    assert config.operator_address == address


@pytest.mark.parametrize(
    ("host", "on_loopback"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False), ("a.b", False)],
)
def test_loopback_is_recognised(host: str, *, on_loopback: bool) -> None:
    """A host is recognised as loopback by its address or name."""
    assert WebhookConfig(host=host).on_loopback is on_loopback
