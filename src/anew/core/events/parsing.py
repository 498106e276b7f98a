"""From bytes to events: Event Grid schema and CloudEvents 1.0, single or batched, in every variation Azure ML sends.

Nothing here raises for JSON of any shape: an element is an `Event`, knowingly `Ignored`, or `Rejected` with the reason.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, NoReturn, cast

import msgspec
from msgspec import Raw

from anew.core.events.event import Event, EventType, Ignored, Parsed, Rejected, Workspace, workspace_of
from anew.core.events.exact import exact_reader
from anew.core.events.fields import MAX_LIST, MAX_NAME, MAX_SUBJECT, MAX_TOPIC, FieldError, Fields, InText, shown
from anew.core.events.payloads import (
    DRIFT_SUBJECT,
    DeploymentPayload,
    DriftPayload,
    Envelope,
    ModelPayload,
    Payload,
    RunPayload,
)
from anew.errors import BatchTooLarge, MalformedBody

_UNKNOWN_TYPE = "unknown type"

_RUN_SUBJECT = re.compile(r"/?experiments/(?P<experiment>[^/{}]+)/runs/(?P<run>[^/{}]+)/?", re.IGNORECASE)
_MODEL_SUBJECT = re.compile(r"/?models/(?P<model>[^/{}]+):(?P<version>[^/:{}]+)/?", re.IGNORECASE)
_SERVICE_SUBJECT = re.compile(r"/?endpoints/(?P<service>[^/{}]+)/?", re.IGNORECASE)

_ARRAY = msgspec.json.Decoder(list[Raw])


def parse_body(body: bytes, most: int | None = None) -> list[Parsed]:
    """The elements of a request's body, which may be one event or an array of them.

    Raises MalformedBody, and BatchTooLarge when it has more than *most* elements.
    """
    elements = _elements(body)
    if most is not None and len(elements) > most:
        raise BatchTooLarge(f"the batch has {len(elements)} events, at most {most} are taken")
    read = exact_reader(body)
    return [
        read(element) or parse_event(_any_json(bytes(element))) if isinstance(element, Raw) else parse_event(element)
        for element in elements
    ]


def _elements(body: bytes) -> Sequence[object]:
    """Each as its text if that may be read exactly, otherwise as its value."""
    # Looking for one byte takes a tenth of looking for two.
    if b"\\" not in body or b"\\u" not in body:
        with suppress(ValueError, RecursionError):
            return [Raw(body)] if body.startswith(b"{") else _ARRAY.decode(body)
    value = load_json(body)
    return value if isinstance(value, list) else [value]


def load_json(body: bytes) -> dict[str, Any] | list[Any]:
    """The JSON object or array in *body*; of duplicate names the last one counts. Raises MalformedBody."""
    value = _any_json(body)
    if isinstance(value, dict | list):
        return cast(dict[str, Any] | list[Any], value)
    raise MalformedBody(f"the body must be an object or an array, found {shown(value)}")


def _any_json(body: bytes) -> object:
    try:
        return msgspec.json.decode(body)
    except (ValueError, RecursionError):
        # It refuses more than RFC 8259 does: a byte order mark, and one lone surrogate would cost a whole batch.
        return _any_json_slowly(body)


def _any_json_slowly(body: bytes) -> object:
    try:
        return json.loads(body.decode("utf-8-sig"), parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise MalformedBody(f"the body is not UTF-8: byte {error.start}") from error
    except RecursionError as error:
        raise MalformedBody("the body is nested too deeply") from error
    except ValueError as error:
        raise MalformedBody(f"the body is not JSON: {str(error)[:200]}") from error


def parse_event(raw: object) -> Parsed:
    """One element, whichever schema its shape shows. Never raises."""
    if not isinstance(raw, dict):
        return Rejected(f"an event must be an object, found {shown(raw)}", raw)
    fields = Fields(cast(dict[str, Any], raw))
    try:
        specversion = fields.get("specversion")
        name = fields.text("eventType" if specversion is None else "type")
        known = _TYPES.get(name.casefold())
        if known is None:
            return Ignored(_UNKNOWN_TYPE, _best_effort(_envelope(fields, specversion, name), _loose_data(fields)))
        kind, read = known
        envelope = _envelope(fields, specversion, kind)
        return read(fields.nested("data"), envelope.subject).event(envelope)
    except FieldError as error:
        return Rejected(str(error), raw)


def accept(parsed: Parsed, workspaces: Collection[Workspace]) -> Parsed:
    """The same, but an event of a workspace not among *workspaces* is ignored; an empty collection means any."""
    if not workspaces or not isinstance(parsed, Event) or parsed.workspace in workspaces:
        return parsed
    return Ignored(f"workspace {parsed.workspace.name} is not watched", parsed)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _envelope(fields: Fields, specversion: object, kind: str) -> Envelope:
    cloud = specversion is not None
    if cloud and not str(specversion).startswith("1."):
        raise FieldError(f"specversion must be 1.0, found {shown(specversion)}")
    place = "source" if cloud else "topic"
    topic = fields.text(place, limit=MAX_TOPIC)
    workspace = workspace_of(topic)
    if workspace is None:
        raise FieldError(f"{place} must be the resource id of a workspace, found {shown(topic)}")
    subject = (fields.optional_text("subject") or "")[:MAX_SUBJECT]
    return Envelope(kind, fields.text("id"), workspace, subject, fields.time("time" if cloud else "eventTime"))


def _loose_data(fields: Fields) -> Fields:
    data = fields.get("data")
    return Fields(cast(dict[str, Any], data) if isinstance(data, dict) else {})


def _best_effort(envelope: Envelope, data: Fields) -> Event:
    return envelope.event(
        run_id=data.optional_text("runId", MAX_NAME),
        status=data.optional_text("runStatus", MAX_NAME),
        experiment=data.optional_text("experimentName", MAX_NAME),
        model=data.optional_text("modelName", MAX_NAME),
        service=data.optional_text("serviceName", MAX_NAME),
        tags=next(
            (tags for name in ("runTags", "modelTags", "serviceTags") if (tags := data.tags(name)) is not None), None
        ),
    )


def _run(data: Fields, subject: str) -> RunPayload:
    return RunPayload(
        run_id=data.text("runId", InText(subject, _RUN_SUBJECT, "run")),
        run_status=data.optional_text("runStatus", MAX_NAME),
        experiment_name=data.optional_text("experimentName", MAX_NAME),
        run_tags=data.tags("runTags"),
    )


def _dataset_drift(data: Fields, subject: str) -> DriftPayload:
    return DriftPayload(
        data_drift_name=data.optional_text("dataDriftName", MAX_NAME),
        drift_coefficient=data.fraction("driftCoefficient"),
        data_drift_id=data.optional_text("dataDriftId", MAX_NAME),
        base_dataset_id=data.optional_text("baseDatasetId", MAX_NAME),
        target_dataset_id=data.optional_text("targetDatasetId", MAX_NAME),
        start_time=data.get("startTime"),
        end_time=data.get("endTime"),
        run_id=data.text("runId", InText(subject, DRIFT_SUBJECT, "run")),
    )


def _model_registered(data: Fields, subject: str) -> ModelPayload:
    return ModelPayload(
        model_name=data.text("modelName", InText(subject, _MODEL_SUBJECT, "model")),
        model_version=data.version("modelVersion", InText(subject, _MODEL_SUBJECT, "version")),
        model_tags=data.tags("modelTags"),
    )


def _model_deployed(data: Fields, subject: str) -> DeploymentPayload:
    return DeploymentPayload(
        model_ids=data.text("modelIds", limit=MAX_LIST),
        service_name=data.text("serviceName", InText(subject, _SERVICE_SUBJECT, "service")),
        service_tags=data.tags("serviceTags"),
    )


_READERS: Mapping[EventType, Callable[[Fields, str], Payload]] = {
    EventType.DATASET_DRIFT_DETECTED: _dataset_drift,
    EventType.RUN_COMPLETED: _run,
    EventType.RUN_STATUS_CHANGED: _run,
    EventType.MODEL_REGISTERED: _model_registered,
    EventType.MODEL_DEPLOYED: _model_deployed,
}


_TYPES = {name.casefold(): (name, read) for name, read in _READERS.items()}
