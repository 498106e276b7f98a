"""Reading the blobs that Event Grid writes for events it could not deliver: bytes in, readings out.

Event Grid adds five fields to such an event, in the casing of the event's schema ("Dead letter and retry policies" of
its documentation). They are removed here, which leaves the event as it was published.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, cast

from anew.core.events.event import NAMESPACE, Parsed, Rejected, Workspace
from anew.core.events.fields import Fields, shown
from anew.core.events.parsing import accept, load_json, parse_event
from anew.errors import MalformedBody

_ADDED = frozenset(
    {"deadletterreason", "deliveryattempts", "lastdeliveryoutcome", "publishtime", "lastdeliveryattempttime"}
)


@dataclass(frozen=True, slots=True)
class Foreign:
    """Not an event of Azure ML: a handshake, or an event of another service whose dead letters share the container."""

    reason: str


@dataclass(frozen=True, slots=True)
class Undelivered:
    """One event that Event Grid gave up on. `gave_up` is its `deadLetterReason`, None when it has none."""

    reading: Parsed | Foreign
    gave_up: str | None = None


def read_blob(body: bytes, workspaces: Collection[Workspace]) -> list[Undelivered]:
    """The events of a blob: a JSON array, one object, or one object per line; empty *workspaces* mean any.

    Raises MalformedBody when it is none of these. A bad line is Rejected, and the other lines are still read.
    """
    return [_undelivered(element, workspaces) for element in _elements(body)]


def _elements(body: bytes) -> list[Any]:
    try:
        value = load_json(body)
    except MalformedBody:
        lines = _json_lines(body)
        if lines is None:
            raise
        return lines
    return value if isinstance(value, list) else [value]


def _json_lines(body: bytes) -> list[Any] | None:
    """The elements of JSON lines, None for anything else, such as an array that was cut off."""
    lines = [line for part in body.removeprefix(b"\xef\xbb\xbf").split(b"\n") if (line := part.strip())]
    if len(lines) < 2 or isinstance(_line(lines[0]), Rejected):
        return None
    return [_line(line) for line in lines]


def _line(line: bytes) -> Any:
    try:
        return load_json(line)
    except MalformedBody as error:
        return Rejected(str(error), line.decode(errors="replace"))


def _undelivered(element: Any, workspaces: Collection[Workspace]) -> Undelivered:
    if isinstance(element, Rejected):
        return Undelivered(element)
    if not isinstance(element, dict):
        return Undelivered(parse_event(element))
    fields = cast(dict[str, Any], element)
    published = {name: value for name, value in fields.items() if name.casefold() not in _ADDED}
    gave_up = Fields(fields).optional_text("deadLetterReason")
    return Undelivered(_reading(published, workspaces), gave_up)


def _reading(published: dict[str, Any], workspaces: Collection[Workspace]) -> Parsed | Foreign:
    parsed = parse_event(published)
    # An event of Azure ML with a damaged topic is Rejected, never Foreign: it must not get lost.
    if isinstance(parsed, Rejected) and (kind := _type(published)) and not _is_azure_ml(kind):
        return Foreign(f"{shown(kind)} is no event of Azure ML")
    return accept(parsed, workspaces)


def _type(published: dict[str, Any]) -> str | None:
    fields = Fields(published)
    return fields.optional_text("eventType") or fields.optional_text("type")


def _is_azure_ml(kind: str) -> bool:
    return kind.casefold().startswith(f"{NAMESPACE}.".casefold())
