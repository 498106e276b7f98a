"""Event Grid's delivery: at least once, in batches per subscription, with retries on its schedule, then dead letters.

The mode ``retry_scale`` makes the clock of the service (retry waits and time to live) run faster. Pending deliveries
are documents, so a restart delivers them.
"""

import json
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import httpx

from anew.emulator.arm.entra import authorization
from anew.emulator.base.cloud import Cloud, timestamp
from anew.emulator.base.state import Document
from anew.emulator.event_grid.filters import lookup, matches
from anew.emulator.machine_learning.events import to_cloud_event

SUBSCRIPTIONS: Final = "event_subscription"
DELIVERIES: Final = "delivery"
DEAD_LETTERS: Final = "deadletter"
RETRY_SCALE: Final = 0.02
CLOUD_EVENTS: Final = "CloudEventSchemaV1_0"
ORIGIN: Final = "eventgrid.azure.net"
TIMEOUT_SECONDS: Final = 30.0

# Delivery and retry: "Retry schedule" and "webhook endpoints" of the Event Grid documentation, in seconds.
_SCHEDULE: Final = (10, 30, 60, 300, 600, 1800, 3600, 10800, 21600, 43200)
_LEAST_WAIT: Final[Mapping[int, int]] = {408: 120, 503: 30}
_ACCEPTED: Final = frozenset({200, 201, 202, 203, 204})
_NEVER_RETRIED: Final = frozenset({400, 401, 403, 413})
_OUTCOMES: Final[Mapping[int, str]] = {
    0: "TimedOut",
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    408: "TimedOut",
    413: "RequestEntityTooLarge",
    503: "Busy",
}
_DEFAULT_ATTEMPTS: Final = 30
_DEFAULT_TTL_MINUTES: Final = 1440
_WORKERS: Final = 8
_STOP_SECONDS: Final = 2.0


@dataclass
class Delivery:
    """The delivery of one event to one subscription; published and due are in seconds of the Unix epoch."""

    key: str
    subscription: str
    event: Document
    published: float
    due: float
    attempts: int = 0


def retry_wait(attempts: int, status: int) -> int:
    """Seconds of Event Grid's clock to wait after the attempts-th attempt ended with an HTTP status (0: no answer)."""
    return max(_SCHEDULE[min(attempts, len(_SCHEDULE)) - 1], _LEAST_WAIT.get(status, 10))


def delivery_headers(subscription: Document, deliveries: Sequence[Delivery]) -> dict[str, str]:
    """The headers of one request; the delivery count is 0 on the first attempt."""
    properties: Document = subscription["properties"]
    first = deliveries[0].event
    headers = {
        "aeg-event-type": "Notification",
        "aeg-subscription-name": subscription["name"].upper(),
        "aeg-delivery-count": str(min(delivery.attempts for delivery in deliveries)),
        **_attribute_headers(properties, first),
    }
    if properties["eventDeliverySchema"] == CLOUD_EVENTS:
        kind = "cloudevents-batch+json" if _most_events(properties) > 1 else "cloudevents+json"
        return headers | {
            "content-type": f"application/{kind}; charset=utf-8",
            "aeg-metadata-version": "1.0",
            "Origin": ORIGIN,
        }
    return headers | {
        "content-type": "application/json; charset=utf-8",
        "aeg-data-version": first["dataVersion"],
        "aeg-metadata-version": first["metadataVersion"],
    }


def delivery_body(properties: Document, events: Sequence[Document]) -> bytes:
    """The request body: an array, or one object for CloudEvents without batching."""
    if properties["eventDeliverySchema"] != CLOUD_EVENTS:
        return json.dumps(list(events)).encode()
    converted = [to_cloud_event(event) for event in events]
    return json.dumps(converted if _most_events(properties) > 1 else converted[0]).encode()


def batches_of(properties: Document, deliveries: Sequence[Delivery]) -> list[list[Delivery]]:
    """Split deliveries into requests by the subscription's event count and preferred size (one event may exceed it)."""
    most = _most_events(properties)
    limit = int(_destination(properties).get("preferredBatchSizeInKilobytes") or 64) * 1024
    batches: list[list[Delivery]] = []
    size = 0
    for delivery in deliveries:
        length = len(json.dumps(delivery.event))
        if not batches or len(batches[-1]) >= most or size + length > limit:
            batches.append([])
            size = 0
        batches[-1].append(delivery)
        size += length
    return batches


class Dispatcher:
    """The background thread that delivers; one per cloud: use ``cloud.service(Dispatcher)``."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._condition = threading.Condition()
        self._pending: dict[str, Delivery] = {}
        self._in_flight: set[str] = set()
        self._stopping = False
        self._abandoned = False
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="delivery")
        self._thread = threading.Thread(target=self._run, name="event-grid", daemon=True)
        self._http = httpx.Client(timeout=TIMEOUT_SECONDS, trust_env=False)

    def start(self) -> Callable[[], None]:
        """Start to deliver, first the events that an earlier process left; returns a function that stops it."""
        for document in self._cloud.store.list(DELIVERIES):
            self._pending[document["key"]] = Delivery(**document)
        self._cloud.on_event(self.enqueue)
        self._thread.start()
        return self._stop

    def enqueue(self, event: Document) -> None:
        """Queue an event for every subscription whose filter it passes."""
        now = time.time()
        for subscription in self._cloud.store.list(SUBSCRIPTIONS):
            properties: Document = subscription["properties"]
            in_scope = f"{event['topic']}/".casefold().startswith(f"{properties['topic']}/".casefold())
            if in_scope and matches(event, properties["filter"]):
                key = str(uuid.uuid4())
                delivery = Delivery(key, subscription["id"], event, published=now, due=now)
                self._cloud.store.put(DELIVERIES, key, vars(delivery))
                with self._condition:
                    self._pending[key] = delivery
                    self._condition.notify()

    def forget(self, subscription_id: str) -> None:
        """Drop the queued deliveries of a subscription that was deleted."""
        with self._condition:
            for delivery in list(self._pending.values()):
                if delivery.subscription.casefold() == subscription_id.casefold():
                    self._discard(delivery)

    def _stop(self) -> None:
        with self._condition:
            self._stopping = True
            self._condition.notify_all()
        self._thread.join()
        with self._condition:
            # A webhook that hangs must not delay the stop: its event stays pending and is delivered again.
            self._condition.wait_for(lambda: not self._in_flight, _STOP_SECONDS)
            self._abandoned = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._http.close()

    def _run(self) -> None:
        while True:
            with self._condition:
                if self._stopping:
                    return
                due = self._take_due()
                if not due:
                    self._condition.wait(self._seconds_to_next())
                    continue
            for subscription_id, group in groupby(due, key=lambda delivery: delivery.subscription):
                self._dispatch(subscription_id, list(group))

    def _take_due(self) -> list[Delivery]:
        now = time.time()
        due = [each for key, each in self._pending.items() if each.due <= now and key not in self._in_flight]
        self._in_flight.update(each.key for each in due)
        return sorted(due, key=lambda delivery: (delivery.subscription, delivery.published))

    def _seconds_to_next(self) -> float | None:
        waiting = [each.due for key, each in self._pending.items() if key not in self._in_flight]
        return max(0.0, min(waiting) - time.time()) if waiting else None

    def _dispatch(self, subscription_id: str, deliveries: list[Delivery]) -> None:
        subscription = self._cloud.store.get(SUBSCRIPTIONS, subscription_id)
        if subscription is None:
            self.forget(subscription_id)
            return
        for batch in batches_of(subscription["properties"], deliveries):
            self._pool.submit(self._attempt, subscription, batch)

    def _attempt(self, subscription: Document, batch: list[Delivery]) -> None:
        properties: Document = subscription["properties"]
        destination = _destination(properties)
        body = delivery_body(properties, [delivery.event for delivery in batch])
        headers = delivery_headers(subscription, batch) | authorization(self._cloud, destination)
        try:
            answer = self._http.post(destination["endpointUrl"], content=body, headers=headers)
            status = answer.status_code
        except httpx.HTTPError:
            status = 0
        if self._abandoned:
            return
        for delivery in batch:
            delivery.attempts += 1
            self._cloud.journal(
                "delivery.attempt",
                subscription=subscription["name"],
                event_id=delivery.event["id"],
                attempt=delivery.attempts,
                status=status,
            )
            self._settle(properties, delivery, status)

    def _settle(self, properties: Document, delivery: Delivery, status: int) -> None:
        scale = self._cloud.mode("retry_scale", RETRY_SCALE)
        reason = None if status in _ACCEPTED else _given_up(properties, delivery, status, scale)
        if reason is not None:
            self._give_up(properties, delivery, status, reason)
        with self._condition:
            self._in_flight.discard(delivery.key)
            self._condition.notify_all()
            if status in _ACCEPTED or reason is not None:
                self._discard(delivery)
            elif delivery.key in self._pending:
                delivery.due = time.time() + retry_wait(delivery.attempts, status) * scale
                self._cloud.store.put(DELIVERIES, delivery.key, vars(delivery))

    def _discard(self, delivery: Delivery) -> None:
        self._pending.pop(delivery.key, None)
        self._in_flight.discard(delivery.key)
        self._cloud.store.delete(DELIVERIES, delivery.key)

    def _give_up(self, properties: Document, delivery: Delivery, status: int, reason: str) -> None:
        dead_lettered = properties.get("deadLetterDestination") is not None
        action = "delivery.dead_lettered" if dead_lettered else "delivery.dropped"
        self._cloud.journal(action, event_id=delivery.event["id"], reason=reason, attempts=delivery.attempts)
        if dead_lettered:
            letter: Document = {
                **delivery.event,
                "deadLetterReason": reason,
                "deliveryAttempts": delivery.attempts,
                "lastDeliveryOutcome": _OUTCOMES.get(status, "GenericError"),
                "lastHttpStatusCode": status,
                "publishTime": delivery.event["eventTime"],
                "lastDeliveryAttemptTime": timestamp(),
                "subscription": delivery.subscription,
            }
            self._cloud.store.put(DEAD_LETTERS, delivery.key, letter)


def _given_up(properties: Document, delivery: Delivery, status: int, scale: float) -> str | None:
    policy: Document = properties.get("retryPolicy") or {}
    if status in _NEVER_RETRIED:
        return "UndeliverableDueToClientError"
    if delivery.attempts >= int(policy.get("maxDeliveryAttempts") or _DEFAULT_ATTEMPTS):
        return "MaxDeliveryAttemptsExceeded"
    minutes = int(policy.get("eventTimeToLiveInMinutes") or _DEFAULT_TTL_MINUTES)
    if time.time() - delivery.published > minutes * 60 * scale:
        return "TimeToLiveExceeded"
    return None


def _destination(properties: Document) -> Document:
    return properties["destination"]["properties"]


def _most_events(properties: Document) -> int:
    return int(_destination(properties).get("maxEventsPerBatch") or 1)


def _attribute_headers(properties: Document, event: Document) -> dict[str, str]:
    mappings: list[Document] = _destination(properties).get("deliveryAttributeMappings") or []
    headers: dict[str, str] = {}
    for mapping in mappings:
        if mapping["type"] == "Static":
            headers[mapping["name"]] = str(mapping["properties"]["value"])
        elif (value := lookup(event, mapping["properties"]["sourceField"])) is not None:
            headers[mapping["name"]] = str(value)
    return headers
