"""What to answer to a request of Event Grid: bytes in, a value out, no IO.

Covers both handshakes (the Event Grid validation event and the CloudEvents OPTIONS request), the shared secret, the
limits, and parsing. Rules: "Webhook event delivery" of Azure Event Grid, and CloudEvents `http-webhook.md` section 4.
"""

import hmac
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import unquote

from anew.core.event_fields import Fields, shown
from anew.core.event_parsing import accept, load_json, parse_event
from anew.core.events import Parsed, Workspace
from anew.errors import MalformedBody

MAX_BODY = 1_500_000  # bytes: Event Grid accepts at most 1 MB from a publisher, the rest is envelope
MAX_EVENTS = 5000  # Event Grid's own limit for a batch
OWN_HEADER = "x-anew-secret"

_VALIDATION_TYPE = "microsoft.eventgrid.subscriptionvalidationevent"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request: headers in any casing, the query as it was sent (undecoded, without `?`)."""

    method: str
    headers: Mapping[str, str]
    query: str
    body: bytes


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
    secrets: Sequence[str],
    subscriptions: Collection[str],
    require_secret: bool,
    workspaces: Collection[Workspace] = (),
    max_body: int = MAX_BODY,
    max_events: int = MAX_EVENTS,
) -> Action:
    """What a request asks of us.

    Configured *secrets* are always demanded (any of them will do, so that one can be replaced), and with
    *require_secret* nothing passes when there are none. Empty *subscriptions* or *workspaces* mean any.
    """
    headers = {name.casefold(): value for name, value in request.headers.items()}
    if (secrets or require_secret) and not _knows_secret(headers, request.query, secrets):
        return Refuse(401, "the secret is missing or wrong")
    match request.method.upper():
        case "OPTIONS":
            origin = headers.get("webhook-request-origin", "").strip()
            return Consent(origin) if origin else Refuse(405, "OPTIONS needs WebHook-Request-Origin")
        case "POST":
            return _post(
                request.body,
                headers,
                subscriptions=subscriptions,
                workspaces=workspaces,
                max_body=max_body,
                max_events=max_events,
            )
        case _:
            return Refuse(405, "use POST")


def _knows_secret(headers: Mapping[str, str], query: str, secrets: Sequence[str]) -> bool:
    pairs = (part.partition("=") for part in query.split("&"))
    offered = [unquote(value) for name, _, value in pairs if name == "code"]
    offered.append(headers.get(OWN_HEADER, ""))
    # Every pair is compared, so that the time taken does not tell which secret was nearly right.
    matches = [_same(offer, secret) for offer in offered for secret in secrets if secret]
    return any(matches)


def _same(left: str, right: str) -> bool:
    return hmac.compare_digest(left.encode("utf-8", "surrogatepass"), right.encode("utf-8", "surrogatepass"))


def _post(
    body: bytes,
    headers: Mapping[str, str],
    *,
    subscriptions: Collection[str],
    workspaces: Collection[Workspace],
    max_body: int,
    max_events: int,
) -> Action:
    kind = headers.get("aeg-event-type", "").casefold()
    if kind == "subscriptiondeletion":
        return Acknowledge()
    if len(body) > max_body:
        return Refuse(413, f"the body is longer than {max_body} bytes")
    try:
        value = load_json(body)
    except MalformedBody as error:
        return Refuse(400, str(error))
    elements = value if isinstance(value, list) else [value]
    if kind == "subscriptionvalidation":
        return _validate(elements, headers.get("aeg-subscription-name", ""), subscriptions)
    if len(elements) > max_events:
        return Refuse(413, f"the batch has {len(elements)} events, at most {max_events} are taken")
    return Deliver(tuple(accept(parse_event(element), workspaces) for element in elements))


def _validate(elements: list[Any], subscription: str, subscriptions: Collection[str]) -> Action:
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
