"""What to answer to a request of Event Grid that was let in: bytes in, a value out, no IO.

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

# A batch is preferred to be 1 MB at most, but one larger event may exceed it, and the envelope comes on top. Event Grid
# never sends again what was once refused as too large, so the limits are far from anything it is known to send.
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
    """Answer 200 with the code: Event Grid then delivers to us."""

    code: str


@dataclass(frozen=True, slots=True)
class Consent:
    """Allow the origin to deliver CloudEvents to us."""

    origin: str
    rate: str = "*"


@dataclass(frozen=True, slots=True)
class Deliver:
    """Take these in."""

    parsed: tuple[Parsed, ...]


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Answer 200 and do nothing."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer with this HTTP status; the reason holds nothing secret."""

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
    """What a request asks of us. Empty *subscriptions* or *workspaces* mean any."""
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
    # Event Grid sends the name in upper case, and a validation's topic may be no workspace at all.
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
