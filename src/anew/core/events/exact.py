"""Events exactly as the published schemas have them, read in half the time that reading loosely takes.

What is read here is what `event_parsing` would read. Whatever could be read otherwise, down to the casing of a name, is
left to it.
"""

from collections.abc import Callable
from functools import partial
from typing import Annotated

from msgspec import Meta, Raw, Struct
from msgspec.json import Decoder

from anew.core.events.event import Event, EventType, workspace_of
from anew.core.events.fields import MAX_NAME, MAX_SUBJECT, MAX_TOPIC, parse_time
from anew.core.events.payloads import PAYLOADS, Envelope, Payload

_Name = Annotated[str, Meta(max_length=MAX_NAME)]
_Topic = Annotated[str, Meta(max_length=MAX_TOPIC)]
_Subject = Annotated[str, Meta(max_length=MAX_SUBJECT)]


class _GridElement(
    Struct,
    frozen=True,
    gc=False,
    forbid_unknown_fields=True,
    rename={
        "type": "eventType",
        "source": "topic",
        "time": "eventTime",
        "data_version": "dataVersion",
        "metadata_version": "metadataVersion",
    },
):
    """The Event Grid schema."""

    id: _Name
    type: str
    source: _Topic
    time: str
    data: Raw
    subject: _Subject = ""
    data_version: Raw = Raw()
    metadata_version: Raw = Raw()


class _CloudElement(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """CloudEvents 1.0."""

    specversion: Annotated[str, Meta(pattern="^1[.]")]
    id: _Name
    type: str
    source: _Topic
    time: str
    data: Raw
    subject: _Subject = ""
    datacontenttype: Raw = Raw()


_GRID, _CLOUD = Decoder(_GridElement), Decoder(_CloudElement)
_PAYLOADS: dict[str, tuple[EventType, Decoder[Payload]]] = {
    str(kind): (kind, Decoder(payload)) for kind, payload in PAYLOADS.items()
}


def exact_reader(body: bytes) -> Callable[[Raw], Event | None]:
    r"""What reads the elements of *body* that are exactly as a schema has them, and gives None for others.

    *body* holds no `\u`: of a text without escapes every character can be stored.
    """
    return partial(_read, _CLOUD if b'"specversion"' in body else _GRID)


def _read(decoder: Decoder[_GridElement] | Decoder[_CloudElement], raw: Raw) -> Event | None:
    try:
        element = decoder.decode(raw)
        kind, payloads = _PAYLOADS[element.type]
        workspace, time = workspace_of(element.source), parse_time(element.time)
        if workspace is None or time is None or not element.id or element.id != element.id.strip():
            return None
        envelope = Envelope(kind, element.id, workspace, element.subject.strip(), time)
        return payloads.decode(element.data).event(envelope)
    except (KeyError, ValueError, RecursionError):
        return None
