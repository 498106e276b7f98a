"""The webhook over HTTP: what it answers, what it keeps, and what it never says."""

import json
import logging
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from anew.adapters.ledger import SqlLedger
from anew.adapters.memory.flows import MemoryFlows
from anew.core.base.token_bucket import TokenBucket
from anew.engine.base.ledger import Receipt
from anew.errors import LedgerUnavailable
from anew.webhook.config import WebhookConfig
from tests.event_data import DATA, WORKSPACE, load
from tests.webhook.serving import NOW, SECRET, URL, Webhook, until, webhook_of

DRIFT = (DATA / "drift.cloud.json").read_bytes()


class LedgerAway(SqlLedger):
    """A ledger whose database cannot be reached."""

    def receive(self, *args: Any, **kwargs: Any) -> Receipt:
        raise LedgerUnavailable("database is locked")


class LedgerBroken(SqlLedger):
    """A ledger with a mistake in it."""

    def receive(self, *args: Any, **kwargs: Any) -> Receipt:
        raise ZeroDivisionError


@pytest.fixture
def ledger() -> SqlLedger:
    return SqlLedger.in_memory()


@pytest.fixture
def webhook(ledger: SqlLedger) -> Iterator[Webhook]:
    with webhook_of(ledger) as webhook:
        yield webhook


# --- deliveries -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [path.name for path in sorted(DATA.glob("*.json")) if "validation" not in path.name])
def test_documented_payloads_are_accepted(webhook: Webhook, name: str) -> None:
    """Every documented payload is accepted."""
    answer = webhook.public.post(URL, content=(DATA / name).read_bytes())

    assert (answer.status_code, answer.json()["rejected"]) == (200, 0)


def test_accepted_event_is_stored(webhook: Webhook, ledger: SqlLedger) -> None:
    """An accepted event is stored in the ledger with the time of its receipt."""
    webhook.public.post(URL, content=DRIFT)

    (entry,) = ledger.entries()
    assert (entry.event.run_id, entry.received_at) == ("01d29aa4-e6a4-470a-9ef3-66660d21f8ef_1571590300380", NOW)


def test_bad_element_is_dead_lettered(webhook: Webhook, ledger: SqlLedger) -> None:
    """A bad element of a batch becomes a dead letter, and the good ones are stored."""
    answer = webhook.public.post(URL, json=[load("drift.cloud.json"), {"specversion": "1.0"}])

    assert answer.status_code == 200
    assert answer.json() == {"stored": 1, "ignored": 0, "rejected": 1, "reasons": ["type is missing"]}
    assert len(ledger.entries()) == 1
    assert [letter.reason for letter in ledger.dead_letters()] == ["type is missing"]


def test_batch_without_good_elements_is_400(webhook: Webhook, ledger: SqlLedger) -> None:
    """A batch without any good element gets 400, and each element becomes a dead letter."""
    assert webhook.public.post(URL, json=[{}, 1]).status_code == 400
    assert len(ledger.dead_letters()) == 2


def test_invalid_json_is_400(webhook: Webhook) -> None:
    """A body that is no JSON gets 400."""
    assert webhook.public.post(URL, content=b"{").status_code == 400


def test_huge_batch_is_stored(webhook: Webhook, ledger: SqlLedger) -> None:
    """A batch of five thousand events is stored whole."""
    batch = [load("run-failed.cloud.json") | {"data": {"runId": str(number)}} for number in range(5000)]

    assert webhook.public.post(URL, json=batch).json() == {"stored": 5000, "ignored": 0, "rejected": 0}
    assert len(ledger.entries(limit=6000)) == 5000


def test_lone_surrogate_spares_the_batch(webhook: Webhook) -> None:
    """A lone surrogate in one event does not harm the batch."""
    odd = json.dumps(load("run-completed.cloud.json")).replace('"runTags": {}', '"runTags": {"a": "\\ud800"}')

    answer = webhook.public.post(URL, content=f"[{odd}, {DRIFT.decode()}]")

    assert (answer.status_code, answer.json()["stored"]) == (200, 2)


def test_foreign_workspace_is_ignored(webhook: Webhook, ledger: SqlLedger) -> None:
    """An event of another workspace gets 200 and is counted as ignored."""
    answer = webhook.public.post(URL, json=load("drift.cloud.json") | {"source": WORKSPACE.arm_id + "x"})

    assert (answer.status_code, answer.json()["ignored"]) == (200, 1)
    assert ledger.ignored_counts()[0].reason == "workspace ws1x is not watched"


@pytest.mark.parametrize("chunked", [True, False])
def test_oversized_body_is_413(ledger: SqlLedger, *, chunked: bool) -> None:
    """A body over the size limit gets 413, with or without a declared length."""
    config = WebhookConfig(port=0, max_body=100_000)

    with webhook_of(ledger, config=config) as webhook:
        answer = webhook.public.post(URL, content=(b" " * 1000 for _ in range(101)) if chunked else b" " * 100_001)

    assert (answer.status_code, answer.headers["Connection"]) == (413, "close")


def test_large_body_is_read(webhook: Webhook) -> None:
    """A body of almost sixteen megabytes is read."""
    padded = json.dumps(load("drift.cloud.json") | {"padding": "x" * 15_990_000})

    assert webhook.public.post(URL, content=padded).status_code == 200


# --- passing faults ---------------------------------------------------------------------------------------


def test_unavailable_ledger_is_503() -> None:
    """While the ledger is unavailable a request gets 503, so that Event Grid retries."""
    with webhook_of(LedgerAway.in_memory()) as webhook:
        answer = webhook.public.post(URL, content=DRIFT)

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")


def test_internal_error_is_503_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    """An internal error gets 503 and is logged."""
    with webhook_of(LedgerBroken.in_memory()) as webhook:
        answer = webhook.public.post(URL, content=DRIFT)

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
    assert "ZeroDivisionError" in caplog.text


def test_excess_requests_are_503(ledger: SqlLedger) -> None:
    """Requests beyond the rate get 503 with the time to wait."""
    config = WebhookConfig(port=0, rate=TokenBucket(burst=2, per_second=0.1))

    with webhook_of(ledger, config=config) as webhook:
        answers = [webhook.public.post(URL, content=DRIFT) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 503]
    assert answers[2].headers["Retry-After"] == "10"


def test_refused_requests_use_no_rate(ledger: SqlLedger) -> None:
    """A request that is not authenticated does not count towards the rate."""
    config = WebhookConfig(port=0, rate=TokenBucket(burst=1, per_second=0.1))

    with webhook_of(ledger, config=config) as webhook:
        webhook.public.post("/events?code=wrong", content=DRIFT)
        assert webhook.public.post(URL, content=DRIFT).status_code == 200


# --- who is let in ----------------------------------------------------------------------------------------


def test_wrong_secret_stores_nothing(webhook: Webhook, ledger: SqlLedger) -> None:
    """A request with a wrong secret stores neither an event nor a dead letter."""
    assert webhook.public.post("/events?code=wrong", content=DRIFT).status_code == 401
    assert webhook.public.post("/events?code=wrong", json=[{}]).status_code == 401
    assert (ledger.entries(), ledger.dead_letters()) == ([], [])


def test_secret_is_never_logged(webhook: Webhook, caplog: pytest.LogCaptureFixture) -> None:
    """The secret of a request is never logged."""
    with caplog.at_level(logging.DEBUG, logger="anew"):
        webhook.public.post(URL, content=DRIFT)
        webhook.public.post(URL + "x", content=b"{")
        until(lambda: "POST /events 401" in caplog.text)

    assert "POST /events 200" in caplog.text
    assert SECRET not in "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("anew"))


# --- handshakes -------------------------------------------------------------------------------------------


def test_validation_is_echoed(webhook: Webhook) -> None:
    """The validation code of a subscription is echoed."""
    headers = {"aeg-event-type": "SubscriptionValidation", "aeg-subscription-name": "ANEW"}

    answer = webhook.public.post(URL, json=load("validation.grid.batch.json"), headers=headers)

    assert answer.status_code == 200
    assert answer.json() == {"validationResponse": "512d38b6-c7b8-40c8-89fe-f46f9e9622b6"}


def test_cloud_events_handshake_is_answered(webhook: Webhook) -> None:
    """The handshake of CloudEvents is answered with the allowed origin and rate."""
    answer = webhook.public.options(URL, headers={"WebHook-Request-Origin": "eventgrid.azure.net"})

    assert answer.status_code == 200
    assert answer.headers["WebHook-Allowed-Origin"] == "eventgrid.azure.net"
    assert answer.headers["WebHook-Allowed-Rate"] == "*"
    assert answer.headers["Allow"] == "POST"


def test_handshake_needs_the_secret(webhook: Webhook) -> None:
    """A handshake without the secret is refused and allows no origin."""
    answer = webhook.public.options("/events", headers={"WebHook-Request-Origin": "eventgrid.azure.net"})

    assert answer.status_code == 401
    assert not [name for name in answer.headers if name.startswith("webhook")]


# --- what is where ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/events/", "/healthz", "/readyz", "/status", "/docs", "/Events"])
def test_public_port_has_one_path(webhook: Webhook, path: str) -> None:
    """The public port answers any other path with a plain 404."""
    answer = webhook.public.get(path)

    assert (answer.status_code, answer.text) == (404, "Not Found")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH"])
def test_other_methods_are_405(webhook: Webhook, method: str) -> None:
    """Other methods get 405, even without authentication."""
    answer = webhook.public.request(method, "/events")

    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST, OPTIONS")


# --- relay ------------------------------------------------------------------------------------------------


def test_stored_event_is_hinted_immediately(ledger: SqlLedger) -> None:
    """A stored event is hinted to Prefect without waiting for the next interval."""
    flows = MemoryFlows()
    config = WebhookConfig(port=0, relay_interval=timedelta(hours=1))

    with webhook_of(ledger, flows, config) as webhook:
        webhook.public.post(URL, content=DRIFT)
        until(lambda: flows.hints)

    assert [event.cause for event in flows.hints] == ["drift"]


def test_unavailable_prefect_delays_only_hints(ledger: SqlLedger) -> None:
    """An unavailable Prefect does not change the answer, and the hint follows later."""
    flows = MemoryFlows(down=True)
    config = WebhookConfig(port=0, relay_interval=timedelta(milliseconds=10))

    with webhook_of(ledger, flows, config) as webhook:
        assert webhook.public.post(URL, content=DRIFT).status_code == 200
        flows.down = False
        until(lambda: flows.hints)


def test_hints_are_rate_limited(ledger: SqlLedger) -> None:
    """Many requests lead to few hints, and every event is still hinted."""
    flows, apart = MemoryFlows(), 0.2
    config = WebhookConfig(port=0, relay_interval=timedelta(hours=1), hints_apart=timedelta(seconds=apart))
    began = time.monotonic()

    with webhook_of(ledger, flows, config) as webhook:
        for number in range(60):
            webhook.public.post(URL, content=DRIFT.replace(b"1571590300380", b"%d" % number)).raise_for_status()
        until(lambda: all(entry.hinted_at for entry in ledger.unsettled(frozenset({"drift"}))))

    assert len(ledger.unsettled(frozenset({"drift"}))) == 60
    assert len(flows.hints) <= (time.monotonic() - began) / apart + 1
