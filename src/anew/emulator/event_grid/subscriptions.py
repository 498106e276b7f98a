"""Event Grid's event subscriptions: their ARM surface and the handshake with the webhook before one is accepted."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import sleep
from typing import Any, Final, cast
from urllib.parse import urlsplit, urlunsplit

import httpx
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from anew.emulator.arm.entra import authorization
from anew.emulator.arm.protocol import ArmCall, ArmError, arm_route, stored
from anew.emulator.base.cloud import Cloud, timestamp
from anew.emulator.base.state import Document, section
from anew.emulator.event_grid.delivery import (
    CLOUD_EVENTS,
    ORIGIN,
    RETRY_SCALE,
    SUBSCRIPTIONS,
    TIMEOUT_SECONDS,
    Dispatcher,
)
from anew.emulator.event_grid.filters import FilterError, validate

LIST_PATH: Final = "/{scope:path}/providers/Microsoft.EventGrid/eventSubscriptions"
SUBSCRIPTION_PATH: Final = LIST_PATH + "/{subscription_name}"
VALIDATION_EVENT: Final = "Microsoft.EventGrid.SubscriptionValidationEvent"
_EVENT_GRID_SCHEMA: Final = "EventGridSchema"
_VALIDATION_RETRY_SECONDS: Final = 5.0
_DEFAULT_RETRY_POLICY: Final = {"maxDeliveryAttempts": 30, "eventTimeToLiveInMinutes": 1440}


@dataclass(frozen=True)
class Handshake:
    """The facts that the handshake of one subscription needs."""

    scope: str
    name: str
    url: str
    schema: str
    retry_after: float
    authorization: Mapping[str, str]


def routes(cloud: Cloud) -> list[Route]:
    """The routes of event subscriptions on any scope."""

    def full_url(call: ArmCall) -> Response:
        destination = _stored(cloud, call)["properties"]["destination"]["properties"]
        return JSONResponse({"endpointUrl": destination["endpointUrl"]})

    def patch(call: ArmCall) -> Response:
        changes = {key: value for key, value in call.body.items() if value is not None}
        return _accept(cloud, call, _stored(cloud, call)["properties"] | changes)

    def list_all(call: ArmCall) -> Response:
        prefix = f"{_scope(call)}/providers/Microsoft.EventGrid/eventSubscriptions/"
        return JSONResponse({"value": [_shown(document) for document in cloud.store.list(SUBSCRIPTIONS, prefix)]})

    return [
        arm_route(SUBSCRIPTION_PATH, "PUT", lambda call: _put(cloud, call)),
        arm_route(SUBSCRIPTION_PATH, "PATCH", patch),
        arm_route(SUBSCRIPTION_PATH, "GET", lambda call: JSONResponse(_shown(_stored(cloud, call)))),
        arm_route(SUBSCRIPTION_PATH, "DELETE", lambda call: _delete(cloud, call)),
        arm_route(SUBSCRIPTION_PATH + "/getFullUrl", "POST", full_url),
        arm_route(LIST_PATH, "GET", list_all),
    ]


def start(cloud: Cloud) -> Callable[[], None]:
    """Start the delivery of events; returns a function that stops it."""
    return cloud.service(Dispatcher).start()


def shake_hands(handshake: Handshake) -> None:
    """Ask the webhook for consent, by validation event or by OPTIONS; raises ArmError when it refuses."""
    try:
        with httpx.Client(timeout=TIMEOUT_SECONDS, trust_env=False) as client:
            ask = _ask_options if handshake.schema == CLOUD_EVENTS else _ask_validation
            try:
                ask(client, handshake)
            except httpx.TimeoutException:
                sleep(handshake.retry_after)
                ask(client, handshake)
    except httpx.HTTPError as error:
        raise _refused(handshake, f"The endpoint could not be reached: {type(error).__name__}.") from error


def _ask_validation(client: httpx.Client, handshake: Handshake) -> None:
    code = str(uuid.uuid4()).upper()
    event: Document = {
        "id": str(uuid.uuid4()),
        "topic": handshake.scope,
        "subject": "",
        "data": {"validationCode": code, "validationUrl": ""},
        "eventType": VALIDATION_EVENT,
        "eventTime": timestamp(),
        "metadataVersion": "1",
        "dataVersion": "2",
    }
    headers = {
        "aeg-event-type": "SubscriptionValidation",
        "aeg-subscription-name": handshake.name.upper(),
        "aeg-delivery-count": "0",
        "aeg-data-version": "2",
        "aeg-metadata-version": "1",
        **handshake.authorization,
    }
    answer = client.post(handshake.url, json=[event], headers=headers)
    if answer.status_code != 200:
        raise _refused(handshake, f"Http POST request returned {answer.status_code} response, 200 is required.")
    if _validation_response(answer) != code:
        raise _refused(handshake, "Http POST request returned 200 response without the validation code.")


def _validation_response(answer: httpx.Response) -> Any:
    try:
        body = answer.json()
    except ValueError:
        return None
    return cast(Document, body).get("validationResponse") if isinstance(body, dict) else None


def _ask_options(client: httpx.Client, handshake: Handshake) -> None:
    # Without a token: the documentation does not say whether Event Grid sends one, and this is harder for a webhook.
    answer = client.options(handshake.url, headers={"WebHook-Request-Origin": ORIGIN})
    allowed = answer.headers.get("WebHook-Allowed-Origin", "").casefold()
    if not answer.is_success or allowed not in ("*", ORIGIN):
        message = f"Http OPTIONS request returned {answer.status_code} response, WebHook-Allowed-Origin: {allowed!r}."
        raise _refused(handshake, message)


def _refused(handshake: Handshake, why: str) -> ArmError:
    message = f"Webhook validation handshake failed for {_base_url(handshake.url)}. {why}"
    return ArmError(400, "Url validation", message)


def _subscription_id(call: ArmCall) -> str:
    return f"{_scope(call)}/providers/Microsoft.EventGrid/eventSubscriptions/{call.param('subscription_name')}"


def _scope(call: ArmCall) -> str:
    return f"/{call.param('scope').strip('/')}"


def _put(cloud: Cloud, call: ArmCall) -> Response:
    properties = call.body.get("properties")
    if not isinstance(properties, dict):
        raise ArmError(400, "InvalidRequest", "The event subscription has no properties.")
    return _accept(cloud, call, cast(Document, properties))


def _accept(cloud: Cloud, call: ArmCall, given: Document) -> Response:
    properties = _checked(given)
    destination: Document = properties["destination"]["properties"]
    retry_after = _VALIDATION_RETRY_SECONDS * cloud.mode("retry_scale", RETRY_SCALE)
    name, schema = call.param("subscription_name"), properties["eventDeliverySchema"]
    proof = authorization(cloud, destination)
    shake_hands(Handshake(_scope(call), name, destination["endpointUrl"], schema, retry_after, proof))
    subscription_id = _subscription_id(call)
    document: Document = {
        "id": subscription_id,
        "name": name,
        "type": "Microsoft.EventGrid/eventSubscriptions",
        "properties": {**properties, "topic": _scope(call), "provisioningState": "Succeeded"},
    }
    cloud.store.put(SUBSCRIPTIONS, subscription_id, document)
    cloud.journal("event_subscription.accepted", name=name, schema=schema)
    return JSONResponse(_shown(document), 201)


def _checked(given: Document) -> Document:
    destination = section(given, "destination")
    inner = section(destination, "properties")
    url = inner.get("endpointUrl")
    if destination.get("endpointType") != "WebHook" or not isinstance(url, str):
        raise ArmError(400, "InvalidRequest", "Local Azure delivers to destinations of the type WebHook with a URL.")
    if urlsplit(url).scheme not in ("http", "https"):
        raise ArmError(400, "InvalidRequest", f"The endpoint URL '{_base_url(url)}' is not a web address.")
    if bool(inner.get("azureActiveDirectoryTenantId")) != bool(inner.get("azureActiveDirectoryApplicationIdOrUri")):
        raise ArmError(400, "InvalidRequest", "A protected endpoint needs both a tenant and an application.")
    schema = given.get("eventDeliverySchema") or _EVENT_GRID_SCHEMA
    if schema not in (_EVENT_GRID_SCHEMA, CLOUD_EVENTS):
        raise ArmError(400, "InvalidRequest", f"The event delivery schema '{schema}' is not supported.")
    policy: Document = {**_DEFAULT_RETRY_POLICY, **section(given, "retryPolicy")}
    if not (1 <= policy["maxDeliveryAttempts"] <= 30 and 1 <= policy["eventTimeToLiveInMinutes"] <= 1440):
        raise ArmError(400, "InvalidRequest", "The retry policy allows 1 to 30 attempts and 1 to 1440 minutes.")
    event_filter = section(given, "filter")
    try:
        validate(event_filter)
    except FilterError as error:
        raise ArmError(400, "InvalidRequest", str(error)) from error
    return {**given, "eventDeliverySchema": schema, "retryPolicy": policy, "filter": event_filter}


def _stored(cloud: Cloud, call: ArmCall) -> Document:
    return stored(cloud, SUBSCRIPTIONS, _subscription_id(call))


def _delete(cloud: Cloud, call: ArmCall) -> Response:
    if not cloud.store.delete(SUBSCRIPTIONS, _subscription_id(call)):
        return Response(status_code=204)
    cloud.service(Dispatcher).forget(_subscription_id(call))
    return Response(status_code=200)


def _shown(document: Document) -> Document:
    """The subscription without its secrets: the URL's query string and the values of secret delivery headers."""
    properties: Document = document["properties"]
    inner: Document = dict(properties["destination"]["properties"])
    inner["endpointBaseUrl"] = _base_url(inner.pop("endpointUrl"))
    mappings: list[Document] = inner.get("deliveryAttributeMappings") or []
    inner["deliveryAttributeMappings"] = [
        {**mapping, "properties": {**mapping["properties"], "value": None}}
        if section(mapping, "properties").get("isSecret")
        else mapping
        for mapping in mappings
    ]
    destination = {**properties["destination"], "properties": inner}
    return {**document, "properties": {**properties, "destination": destination}}


def _base_url(url: str) -> str:
    return urlunsplit(urlsplit(url)._replace(query="", fragment=""))
