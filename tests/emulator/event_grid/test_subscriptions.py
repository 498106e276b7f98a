"""Event Grid through its real SDK, delivering to a real webhook: handshakes, filters, retries, dead letters."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.eventgrid import EventGridManagementClient
from hypothesis import given
from hypothesis import strategies as st

from anew.emulator.base.state import Document
from anew.emulator.event_grid.delivery import Delivery, batches_of, retry_wait
from anew.emulator.event_grid.filters import FilterError, matches, validate
from anew.emulator.machine_learning import events as ml_events
from tests.emulator.support import SUBSCRIPTION, WORKSPACE_ID, RunningAzure, run_local_azure, wait_until

BREACH_KEY = "data.RunTags.azureml_modelmonitor_threshold_breached"


@dataclass
class Webhook:
    """A webhook that consents and answers deliveries with the statuses it was given, then with 200."""

    url: str = ""
    consents: bool = True
    statuses: list[int] = field(default_factory=list[int])
    handshakes: list[str] = field(default_factory=list[str])
    requests: list[tuple[dict[str, str], Any]] = field(default_factory=list[tuple[dict[str, str], Any]])

    def events(self) -> list[Document]:
        """Every event delivered, whatever the answer was."""
        bodies = [body for _, body in self.requests]
        return [event for body in bodies for event in (body if isinstance(body, list) else [body])]


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    hook = Webhook()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(hook))
    hook.url = f"http://127.0.0.1:{server.server_port}/api/events?code=s3cret"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield hook
    server.shutdown()
    server.server_close()
    thread.join()


def handler_of(hook: Webhook) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if self.headers["aeg-event-type"] == "SubscriptionValidation":
                hook.handshakes.append(self.path)
                code = body[0]["data"]["validationCode"] if hook.consents else "something else"
                self._answer(200, json.dumps({"validationResponse": code}).encode())
                return
            hook.requests.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self._answer(hook.statuses.pop(0) if hook.statuses else 200)

        def do_OPTIONS(self) -> None:
            hook.handshakes.append(self.headers["WebHook-Request-Origin"])
            self._answer(200, origin=self.headers["WebHook-Request-Origin"] if hook.consents else None)

        def _answer(self, status: int, body: bytes = b"", origin: str | None = None) -> None:
            self.send_response(status)
            if origin:
                self.send_header("WebHook-Allowed-Origin", origin)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: the test's output is no place for an access log."""

    return Handler


@pytest.fixture
def azure(tmp_path: Path) -> Iterator[RunningAzure]:
    with run_local_azure(tmp_path / "azure") as running:
        running.control.set_modes(retry_scale=0.002)
        yield running


def make_client(azure: RunningAzure) -> Any:
    at = azure.connection
    return EventGridManagementClient(
        at.credential, SUBSCRIPTION, base_url=at.base_url, polling_interval=0.05, per_call_policies=at.policies()
    ).event_subscriptions


def subscribe(azure: RunningAzure, url: str, name: str = "anew", *, batch: int = 1, **properties: Any) -> Any:
    destination = {"endpointType": "WebHook", "properties": {"endpointUrl": url, "maxEventsPerBatch": batch}}
    body = {"properties": {"destination": destination} | properties}
    return make_client(azure).begin_create_or_update(WORKSPACE_ID, name, json.dumps(body).encode()).result()


def registered(version: str = "1", **tags: str) -> Document:
    return ml_events.model_registered(WORKSPACE_ID, name="elec2", version=version, tags=tags, properties={})


def publish_registered(azure: RunningAzure, version: str = "1") -> Document:
    event = registered(version)
    azure.control.publish(event)
    return event


def journal(azure: RunningAzure, action: str) -> list[Any]:
    return list(azure.control.journal(action))


def settled(azure: RunningAzure) -> Callable[[], bool]:
    return lambda: not azure.cloud.store.list("delivery")


def test_subscription_hides_the_query_string(azure: RunningAzure, webhook: Webhook) -> None:
    """A subscription shows the query string of its webhook only with the full URL."""
    created = subscribe(azure, webhook.url)
    assert created.provisioning_state == "Succeeded"
    assert created.destination.endpoint_base_url == webhook.url.partition("?")[0]
    assert "s3cret" not in json.dumps(make_client(azure).get(WORKSPACE_ID, "anew").serialize())
    assert make_client(azure).get_full_url(WORKSPACE_ID, "anew").endpoint_url == webhook.url
    assert webhook.handshakes == ["/api/events?code=s3cret"]


@pytest.mark.parametrize("schema", ["EventGridSchema", "CloudEventSchemaV1_0"])
def test_refused_handshake_stops_the_subscription(azure: RunningAzure, webhook: Webhook, schema: str) -> None:
    """A webhook that fails the handshake makes the subscription fail, and the error hides its secret."""
    webhook.consents = False
    with pytest.raises(HttpResponseError, match="Webhook validation handshake failed") as refusal:
        subscribe(azure, webhook.url, eventDeliverySchema=schema)
    assert "s3cret" not in str(refusal.value)
    with pytest.raises(ResourceNotFoundError):
        make_client(azure).get(WORKSPACE_ID, "anew")


def test_deleted_subscription_gets_no_events(azure: RunningAzure, webhook: Webhook) -> None:
    """A deleted subscription gets no more events."""
    subscribe(azure, webhook.url)
    client = make_client(azure)
    client.begin_delete(WORKSPACE_ID, "anew").result()
    publish_registered(azure)
    assert azure.cloud.store.list("delivery") == []
    assert webhook.requests == []


def test_grid_event_arrives_as_array(azure: RunningAzure, webhook: Webhook) -> None:
    """An event in the Event Grid schema arrives as an array with its delivery headers."""
    subscribe(azure, webhook.url)
    event = publish_registered(azure)
    wait_until(lambda: bool(webhook.requests))
    headers, body = webhook.requests[0]
    assert body == [event]
    assert {name: headers[name] for name in headers if name.startswith("aeg-")} == {
        "aeg-event-type": "Notification",
        "aeg-subscription-name": "ANEW",
        "aeg-delivery-count": "0",
        "aeg-data-version": "2",
        "aeg-metadata-version": "1",
    }


def test_cloud_event_arrives_as_object(azure: RunningAzure, webhook: Webhook) -> None:
    """A cloud event arrives as one object after an OPTIONS handshake."""
    subscribe(azure, webhook.url, eventDeliverySchema="CloudEventSchemaV1_0")
    event = publish_registered(azure)
    wait_until(lambda: bool(webhook.requests))
    headers, body = webhook.requests[0]
    assert webhook.handshakes == ["eventgrid.azure.net"]
    assert headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    assert body == ml_events.to_cloud_event(event)


def test_failed_delivery_is_retried(azure: RunningAzure, webhook: Webhook) -> None:
    """A failed delivery is retried until the webhook accepts it."""
    subscribe(azure, webhook.url)
    webhook.statuses = [500, 503]
    event = publish_registered(azure)
    wait_until(settled(azure))
    assert [delivered["id"] for delivered in webhook.events()] == [event["id"]] * 3
    assert [headers["aeg-delivery-count"] for headers, _ in webhook.requests] == ["0", "1", "2"]
    assert [attempt["status"] for attempt in journal(azure, "delivery.attempt")] == [500, 503, 200]


@pytest.mark.parametrize("status", [400, 401, 403, 413])
def test_permanent_refusal_drops_the_event(azure: RunningAzure, webhook: Webhook, status: int) -> None:
    """A permanent refusal drops the event after one attempt."""
    subscribe(azure, webhook.url)
    webhook.statuses = [status]
    publish_registered(azure)
    wait_until(settled(azure))
    assert len(webhook.requests) == 1
    assert len(journal(azure, "delivery.dropped")) == 1


def test_undeliverable_event_is_dead_lettered(azure: RunningAzure, webhook: Webhook) -> None:
    """An event that cannot be delivered becomes a dead letter with its reason."""
    blobs = {"endpointType": "StorageBlob", "properties": {"resourceId": "/storage", "blobContainerName": "dead"}}
    policy = {"maxDeliveryAttempts": 2, "eventTimeToLiveInMinutes": 1440}
    subscribe(azure, webhook.url, retryPolicy=policy, deadLetterDestination=blobs)
    webhook.statuses = [500, 500, 500]
    event = publish_registered(azure)
    wait_until(settled(azure))
    [letter] = azure.cloud.store.list("deadletter")
    assert (letter["id"], letter["deadLetterReason"]) == (event["id"], "MaxDeliveryAttemptsExceeded")
    assert (letter["deliveryAttempts"], letter["lastHttpStatusCode"]) == (2, 500)


def test_pending_delivery_survives_restart(tmp_path: Path, webhook: Webhook) -> None:
    """A pending delivery survives a restart of local Azure."""
    with run_local_azure(tmp_path / "azure") as first:
        first.control.set_modes(retry_scale=0.05)
        subscribe(first, webhook.url)
        webhook.statuses = [500]
        event = publish_registered(first)
        wait_until(lambda: bool(journal(first, "delivery.attempt")))
    with run_local_azure(tmp_path / "azure") as second:
        wait_until(settled(second))
    assert [delivered["id"] for delivered in webhook.events()] == [event["id"]] * 2


def test_only_matching_events_are_delivered(azure: RunningAzure, webhook: Webhook) -> None:
    """Only events that match the scope, types and subject of a subscription are delivered."""
    wanted = {"includedEventTypes": [ml_events.MODEL_REGISTERED], "subjectBeginsWith": "models/ELEC2"}
    subscribe(azure, webhook.url, filter=wanted)
    azure.control.publish(ml_events.model_deployed(WORKSPACE_ID, service="e", model_ids="elec2:1", tags={}))
    azure.control.publish(registered() | {"topic": WORKSPACE_ID + "-other"})
    event = publish_registered(azure)
    wait_until(lambda: bool(webhook.requests) and settled(azure)())
    assert [delivered["id"] for delivered in webhook.events()] == [event["id"]]


def test_malformed_subscription_is_refused(azure: RunningAzure, webhook: Webhook) -> None:
    """A subscription with an invalid retry policy or filter is refused."""
    with pytest.raises(HttpResponseError, match="1 to 30 attempts"):
        subscribe(azure, webhook.url, retryPolicy={"maxDeliveryAttempts": 31})
    with pytest.raises(HttpResponseError, match="operator 'Like'"):
        subscribe(
            azure, webhook.url, filter={"advancedFilters": [{"operatorType": "Like", "key": "a", "values": ["b"]}]}
        )


def breach(tag: str | None) -> Document:
    tags = {"azureml_modelmonitor_threshold_breached": tag} if tag else {}
    return ml_events.run_status_changed(
        WORKSPACE_ID, run_id="r", experiment="e", status="Completed", tags=tags, properties={}
    )


def advanced(operator: str, key: str = BREACH_KEY, **values: Any) -> Document:
    return {"advancedFilters": [{"operatorType": operator, "key": key} | values]}


@pytest.mark.parametrize(
    ("event", "event_filter", "passes"),
    [
        (breach("x HAS failed y"), advanced("StringContains", values=["has failed"]), True),
        (breach(None), advanced("StringContains", values=["has failed"]), False),
        (breach(None), advanced("StringNotIn", values=["a"]), True),
        (breach("a"), advanced("StringNotIn", values=["A"]), False),
        (breach("a"), advanced("StringIn", values=["b", "A"]), True),
        (breach(None), advanced("IsNullOrUndefined"), True),
        (breach("a"), advanced("IsNotNull"), True),
        (breach("a"), advanced("StringBeginsWith", "subject", values=["experiments/"]), True),
        ({**breach("a"), "data": {"n": 0.5}}, advanced("NumberGreaterThan", "data.n", value=0.4), True),
        ({**breach("a"), "data": {"n": 0.5}}, advanced("NumberIn", "data.n", values=[1, 2]), False),
        ({**breach("a"), "data": {"n": 0.5}}, advanced("NumberInRange", "data.N", values=[[0, 0.2], [0.4, 0.6]]), True),
        ({**breach("a"), "data": {"b": True}}, advanced("BoolEquals", "data.b", value=True), True),
        ({**breach("a"), "data": {"a.b": "x"}}, advanced("StringIn", "data.a.b", values=["x"]), False),
        (breach("a"), {"subjectEndsWith": "/RUNS/R", "isSubjectCaseSensitive": True}, False),
        (breach("a"), {}, True),
    ],
)
def test_filter_decides_as_documented(event: Document, event_filter: Document, passes: bool) -> None:
    """Each filter accepts and rejects events as Event Grid documents."""
    validate(event_filter)
    assert matches(event, event_filter) is passes


def test_too_many_filters_are_refused() -> None:
    """More than 25 advanced filters are refused."""
    one = {"operatorType": "StringIn", "key": "subject", "values": ["x"]}
    with pytest.raises(FilterError):
        validate({"advancedFilters": [one] * 26})


def test_retries_follow_documented_schedule() -> None:
    """The waits between retries follow the documented schedule."""
    assert [retry_wait(attempt, 500) for attempt in (1, 2, 3, 4, 10, 30)] == [10, 30, 60, 300, 43200, 43200]
    assert (retry_wait(1, 503), retry_wait(1, 408), retry_wait(1, 0)) == (30, 120, 10)


@given(st.lists(st.integers(0, 3000), max_size=30), st.integers(1, 10), st.integers(1, 4))
def test_batches_are_complete_and_bounded(sizes: list[int], most: int, kilobytes: int) -> None:
    """Batches lose no event, keep the order and respect both limits."""
    deliveries = [Delivery(str(n), "s", {"pad": "x" * size}, 0.0, 0.0) for n, size in enumerate(sizes)]
    inner = {"maxEventsPerBatch": most, "preferredBatchSizeInKilobytes": kilobytes}
    batches = batches_of({"destination": {"properties": inner}}, deliveries)
    assert [delivery for batch in batches for delivery in batch] == deliveries
    for batch in batches:
        assert 1 <= len(batch) <= most
        assert len(batch) == 1 or sum(len(json.dumps(each.event)) for each in batch) <= kilobytes * 1024
