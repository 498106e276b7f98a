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
def test_every_documented_payload_is_accepted(webhook: Webhook, name: str) -> None:
    answer = webhook.public.post(URL, content=(DATA / name).read_bytes())

    assert (answer.status_code, answer.json()["rejected"]) == (200, 0)


def test_accepted_event_is_in_the_ledger(webhook: Webhook, ledger: SqlLedger) -> None:
    webhook.public.post(URL, content=DRIFT)

    (entry,) = ledger.entries()
    assert (entry.event.run_id, entry.received_at) == ("01d29aa4-e6a4-470a-9ef3-66660d21f8ef_1571590300380", NOW)


def test_batch_with_one_bad_element_keeps_the_good_ones_and_the_bad_one_as_a_dead_letter(
    webhook: Webhook, ledger: SqlLedger
) -> None:
    answer = webhook.public.post(URL, json=[load("drift.cloud.json"), {"specversion": "1.0"}])

    assert answer.status_code == 200
    assert answer.json() == {"stored": 1, "ignored": 0, "rejected": 1, "reasons": ["type is missing"]}
    assert len(ledger.entries()) == 1
    assert [letter.reason for letter in ledger.dead_letters()] == ["type is missing"]


def test_body_with_nothing_good_is_400_and_its_elements_are_dead_letters(webhook: Webhook, ledger: SqlLedger) -> None:
    assert webhook.public.post(URL, json=[{}, 1]).status_code == 400
    assert len(ledger.dead_letters()) == 2


def test_body_that_is_no_json_is_400(webhook: Webhook) -> None:
    assert webhook.public.post(URL, content=b"{").status_code == 400


def test_batch_of_five_thousand_events_is_kept(webhook: Webhook, ledger: SqlLedger) -> None:
    batch = [load("run-failed.cloud.json") | {"data": {"runId": str(number)}} for number in range(5000)]

    assert webhook.public.post(URL, json=batch).json() == {"stored": 5000, "ignored": 0, "rejected": 0}
    assert len(ledger.entries(limit=6000)) == 5000


def test_lone_surrogate_in_one_event_does_not_cost_the_others_of_its_batch(webhook: Webhook) -> None:
    odd = json.dumps(load("run-completed.cloud.json")).replace('"runTags": {}', '"runTags": {"a": "\\ud800"}')

    answer = webhook.public.post(URL, content=f"[{odd}, {DRIFT.decode()}]")

    assert (answer.status_code, answer.json()["stored"]) == (200, 2)


def test_event_of_another_workspace_is_200_and_counted(webhook: Webhook, ledger: SqlLedger) -> None:
    answer = webhook.public.post(URL, json=load("drift.cloud.json") | {"source": WORKSPACE.arm_id + "x"})

    assert (answer.status_code, answer.json()["ignored"]) == (200, 1)
    assert ledger.ignored_counts()[0].reason == "workspace ws1x is not watched"


@pytest.mark.parametrize("chunked", [True, False])
def test_body_over_the_cap_is_413_whether_or_not_it_tells_its_length(ledger: SqlLedger, *, chunked: bool) -> None:
    config = WebhookConfig(port=0, max_body=100_000)

    with webhook_of(ledger, config=config) as webhook:
        answer = webhook.public.post(URL, content=(b" " * 1000 for _ in range(101)) if chunked else b" " * 100_001)

    assert (answer.status_code, answer.headers["Connection"]) == (413, "close")


def test_body_of_sixteen_megabytes_is_read(webhook: Webhook) -> None:
    padded = json.dumps(load("drift.cloud.json") | {"padding": "x" * 15_990_000})

    assert webhook.public.post(URL, content=padded).status_code == 200


# --- passing faults ---------------------------------------------------------------------------------------


def test_ledger_that_is_away_is_503_so_that_event_grid_tries_again() -> None:
    with webhook_of(LedgerAway.in_memory()) as webhook:
        answer = webhook.public.post(URL, content=DRIFT)

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")


def test_mistake_of_our_own_is_503_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    with webhook_of(LedgerBroken.in_memory()) as webhook:
        answer = webhook.public.post(URL, content=DRIFT)

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
    assert "ZeroDivisionError" in caplog.text


def test_more_requests_than_the_rate_are_503_with_the_time_to_wait(ledger: SqlLedger) -> None:
    config = WebhookConfig(port=0, rate=TokenBucket(burst=2, per_second=0.1))

    with webhook_of(ledger, config=config) as webhook:
        answers = [webhook.public.post(URL, content=DRIFT) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 503]
    assert answers[2].headers["Retry-After"] == "10"


def test_request_that_is_not_let_in_does_not_count_towards_the_rate(ledger: SqlLedger) -> None:
    config = WebhookConfig(port=0, rate=TokenBucket(burst=1, per_second=0.1))

    with webhook_of(ledger, config=config) as webhook:
        webhook.public.post("/events?code=wrong", content=DRIFT)
        assert webhook.public.post(URL, content=DRIFT).status_code == 200


# --- who is let in ----------------------------------------------------------------------------------------


def test_wrong_secret_stores_nothing(webhook: Webhook, ledger: SqlLedger) -> None:
    assert webhook.public.post("/events?code=wrong", content=DRIFT).status_code == 401
    assert webhook.public.post("/events?code=wrong", json=[{}]).status_code == 401
    assert (ledger.entries(), ledger.dead_letters()) == ([], [])


def test_secret_is_never_logged(webhook: Webhook, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="anew"):
        webhook.public.post(URL, content=DRIFT)
        webhook.public.post(URL + "x", content=b"{")
        until(lambda: "POST /events 401" in caplog.text)

    assert "POST /events 200" in caplog.text
    assert SECRET not in "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("anew"))


# --- handshakes -------------------------------------------------------------------------------------------


def test_validation_is_echoed(webhook: Webhook) -> None:
    headers = {"aeg-event-type": "SubscriptionValidation", "aeg-subscription-name": "ANEW"}

    answer = webhook.public.post(URL, json=load("validation.grid.batch.json"), headers=headers)

    assert answer.status_code == 200
    assert answer.json() == {"validationResponse": "512d38b6-c7b8-40c8-89fe-f46f9e9622b6"}


def test_cloud_events_consent_is_given(webhook: Webhook) -> None:
    answer = webhook.public.options(URL, headers={"WebHook-Request-Origin": "eventgrid.azure.net"})

    assert answer.status_code == 200
    assert answer.headers["WebHook-Allowed-Origin"] == "eventgrid.azure.net"
    assert answer.headers["WebHook-Allowed-Rate"] == "*"
    assert answer.headers["Allow"] == "POST"


def test_consent_without_the_secret_is_not_given(webhook: Webhook) -> None:
    answer = webhook.public.options("/events", headers={"WebHook-Request-Origin": "eventgrid.azure.net"})

    assert answer.status_code == 401
    assert not [name for name in answer.headers if name.startswith("webhook")]


# --- what is where ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/events/", "/healthz", "/readyz", "/status", "/docs", "/Events"])
def test_public_port_knows_one_path_only(webhook: Webhook, path: str) -> None:
    answer = webhook.public.get(path)

    assert (answer.status_code, answer.text) == (404, "Not Found")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH"])
def test_other_methods_are_405_for_whomever(webhook: Webhook, method: str) -> None:
    answer = webhook.public.request(method, "/events")

    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST, OPTIONS")


# --- relay ------------------------------------------------------------------------------------------------


def test_stored_event_is_hinted_without_waiting_for_the_interval(ledger: SqlLedger) -> None:
    flows = MemoryFlows()
    config = WebhookConfig(port=0, relay_interval=timedelta(hours=1))

    with webhook_of(ledger, flows, config) as webhook:
        webhook.public.post(URL, content=DRIFT)
        until(lambda: flows.hints)

    assert [event.cause for event in flows.hints] == ["drift"]


def test_prefect_that_is_away_does_not_touch_the_answer(ledger: SqlLedger) -> None:
    flows = MemoryFlows(down=True)
    config = WebhookConfig(port=0, relay_interval=timedelta(milliseconds=10))

    with webhook_of(ledger, flows, config) as webhook:
        assert webhook.public.post(URL, content=DRIFT).status_code == 200
        flows.down = False
        until(lambda: flows.hints)


def test_storm_of_requests_is_not_a_storm_of_hints(ledger: SqlLedger) -> None:
    flows, apart = MemoryFlows(), 0.2
    config = WebhookConfig(port=0, relay_interval=timedelta(hours=1), hints_apart=timedelta(seconds=apart))
    began = time.monotonic()

    with webhook_of(ledger, flows, config) as webhook:
        for number in range(60):
            webhook.public.post(URL, content=DRIFT.replace(b"1571590300380", b"%d" % number)).raise_for_status()
        until(lambda: all(entry.hinted_at for entry in ledger.unsettled(frozenset({"drift"}))))

    assert len(ledger.unsettled(frozenset({"drift"}))) == 60
    assert len(flows.hints) <= (time.monotonic() - began) / apart + 1
