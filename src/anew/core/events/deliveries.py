"""How to answer an authenticated request of Event Grid: bytes in, a value out, no IO.

Covers both handshakes (the Event Grid validation event and the CloudEvents OPTIONS request), the limits, and parsing.
Rules: "Webhook event delivery" of Azure Event Grid, and CloudEvents `http-webhook.md` section 4.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, cast

from anew.core.events.event import Parsed, Workspace
from anew.core.events.fields import Fields, shown
from anew.core.events.parsing import accept, load_json, parse_body
from anew.errors import BatchTooLarge, MalformedBody

# Event Grid prefers batches of at most 1 MB, but a single event may be larger, and its envelope comes on top. It never
# resends a request that was refused as too large, so the limits are far above anything it is known to send.
MAX_BODY = 16_000_000  # bytes
MAX_EVENTS = 5000  # in one request: Event Grid's own limit for a batch

_VALIDATION_TYPE = "microsoft.eventgrid.subscriptionvalidationevent"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request; the names of headers are in lower case."""

    method: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Validate:
    """Answer 200 with the code, after which Event Grid delivers events."""

    code: str


@dataclass(frozen=True, slots=True)
class Consent:
    """Allow the origin to deliver CloudEvents."""

    origin: str
    rate: str = "*"


@dataclass(frozen=True, slots=True)
class Deliver:
    """Take in these elements."""

    parsed: tuple[Parsed, ...]


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Answer 200 and do nothing."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer with this HTTP status; the reason has no secrets in it."""

    status: int
    reason: str


Action = Validate | Consent | Deliver | Acknowledge | Refuse


def answer(
    request: Delivery,
    *,
    subscriptions: Collection[str] = (),
    workspaces: Collection[Workspace] = (),
    max_events: int = MAX_EVENTS,
) -> Action:
    """The action that a request asks for. Empty *subscriptions* or *workspaces* mean any."""
    match request.method:
        case "OPTIONS":
            origin = request.headers.get("webhook-request-origin", "").strip()
            return Consent(origin) if origin else Refuse(405, "OPTIONS needs WebHook-Request-Origin")
        case "POST":
            return _post(request, subscriptions, workspaces, max_events)
        case _:
            return Refuse(405, "use POST")


def _post(
    request: Delivery, subscriptions: Collection[str], workspaces: Collection[Workspace], max_events: int
) -> Action:
    kind = request.headers.get("aeg-event-type", "").casefold()
    if kind == "subscriptiondeletion":
        return Acknowledge()
    try:
        if kind == "subscriptionvalidation":
            validation = load_json(request.body)
            return _validate(validation, request.headers.get("aeg-subscription-name", ""), subscriptions)
        return Deliver(tuple(accept(parsed, workspaces) for parsed in parse_body(request.body, max_events)))
    except MalformedBody as error:
        return Refuse(400, str(error))
    except BatchTooLarge as error:
        return Refuse(413, str(error))


def _validate(validation: dict[str, Any] | list[Any], subscription: str, subscriptions: Collection[str]) -> Action:
    elements = validation if isinstance(validation, list) else [validation]
    # Event Grid sends the name in upper case. The topic is not checked: it need not be a workspace.
    if subscriptions and subscription.casefold() not in {name.casefold() for name in subscriptions}:
        return Refuse(403, f"event subscription {shown(subscription)} is not expected")
    if len(elements) != 1 or not isinstance(elements[0], dict):
        return Refuse(400, "a validation is exactly one event")
    event = Fields(cast(dict[str, Any], elements[0]))
    data: object = event.get("data")
    code = Fields(cast(dict[str, Any], data)).optional_text("validationCode") if isinstance(data, dict) else None
    if (event.optional_text("eventType") or "").casefold() != _VALIDATION_TYPE or code is None:
        return Refuse(400, "this is no SubscriptionValidationEvent with a validationCode")
    return Validate(code)
