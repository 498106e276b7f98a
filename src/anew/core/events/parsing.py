"""From bytes to events: Event Grid schema and CloudEvents 1.0, single or batched, in every variation Azure ML sends.

JSON of any shape is read: an element is an `Event`, `Ignored` because it is not for anew, or `Rejected` with a reason.
"""

import json
from collections.abc import Collection
from typing import Any, NoReturn, cast

from anew.core.events.event import Event, EventType, Ignored, Parsed, Rejected, Workspace
from anew.core.events.fields import MAX_NAME, MAX_SUBJECT, MAX_TOPIC, FieldError, Fields, shown
from anew.core.events.payloads import Envelope, read_payload
from anew.errors import BatchTooLarge, MalformedBody

_TYPES = {kind.casefold(): kind for kind in EventType}


def parse_body(body: bytes, most: int | None = None) -> list[Parsed]:
    """The elements of a request's body, which may be one event or an array of them.

    Raises MalformedBody, and BatchTooLarge when it has more than *most* elements.
    """
    value = load_json(body)
    elements = value if isinstance(value, list) else [value]
    if most is not None and len(elements) > most:
        raise BatchTooLarge(f"the batch has {len(elements)} events, at most {most} are taken")
    return [parse_event(element) for element in elements]


def load_json(body: bytes) -> dict[str, Any] | list[Any]:
    """The JSON object or array of a body. Raises MalformedBody."""
    try:
        value = json.loads(body.decode("utf-8-sig"), parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise MalformedBody(f"the body is not UTF-8: byte {error.start}") from error
    except RecursionError as error:
        raise MalformedBody("the body is nested too deeply") from error
    except ValueError as error:
        raise MalformedBody(f"the body is not JSON: {str(error)[:200]}") from error
    if isinstance(value, dict | list):
        return cast(dict[str, Any] | list[Any], value)
    raise MalformedBody(f"the body must be an object or an array, found {shown(value)}")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def parse_event(raw: object) -> Parsed:
    """One element, in either schema. Never raises."""
    if not isinstance(raw, dict):
        return Rejected(f"an event must be an object, found {shown(raw)}", raw)
    fields = Fields(cast(dict[str, Any], raw))
    try:
        specversion = fields.get("specversion")
        name = fields.text("eventType" if specversion is None else "type")
        kind = _TYPES.get(name.casefold())
        envelope = _envelope(fields, specversion, kind or name)
        if kind is None:
            return Ignored("unknown type", _unknown_event(envelope, fields.get("data")))
        return read_payload(kind, fields.nested("data"), envelope)
    except FieldError as error:
        return Rejected(str(error), raw)


def accept(parsed: Parsed, workspaces: Collection[Workspace]) -> Parsed:
    """The same, but an event of a workspace not among *workspaces* is ignored; an empty collection means any."""
    if not workspaces or not isinstance(parsed, Event) or parsed.workspace in workspaces:
        return parsed
    return Ignored(f"workspace {parsed.workspace.name} is not watched", parsed)


def _envelope(fields: Fields, specversion: object, kind: str) -> Envelope:
    cloud = specversion is not None
    if cloud and not str(specversion).startswith("1."):
        raise FieldError(f"specversion must be 1.0, found {shown(specversion)}")
    place = "source" if cloud else "topic"
    topic = fields.text(place, limit=MAX_TOPIC)
    workspace = Workspace.parse(topic)
    if workspace is None:
        raise FieldError(f"{place} must be the resource id of a workspace, found {shown(topic)}")
    subject = fields.optional_text("subject", MAX_SUBJECT) or ""
    return Envelope(kind, fields.text("id"), workspace, subject, fields.time("time" if cloud else "eventTime"))


def _unknown_event(envelope: Envelope, payload: object) -> Event:
    """As much of an event of an unknown type as can be read, for the people who look at it."""
    data = Fields(cast(dict[str, Any], payload) if isinstance(payload, dict) else {})
    tags = (data.tags(name) for name in ("runTags", "modelTags", "serviceTags"))
    return envelope.event(
        run_id=data.optional_text("runId", MAX_NAME),
        status=data.optional_text("runStatus", MAX_NAME),
        experiment=data.optional_text("experimentName", MAX_NAME),
        model=data.optional_text("modelName", MAX_NAME),
        service=data.optional_text("serviceName", MAX_NAME),
        tags=next((found for found in tags if found is not None), None),
    )
