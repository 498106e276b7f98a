"""From bytes to events: Event Grid schema and CloudEvents 1.0, single or batched, in every variation Azure ML sends.

Nothing here raises for JSON of any shape: an element is an `Event`, knowingly `Ignored`, or `Rejected` with the reason.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple, NoReturn, cast

import msgspec

from anew.core.breach_tag import parse_breach_tag
from anew.core.event_fields import MAX_LIST, MAX_NAME, FieldError, Fields, InText, parse_time, shown
from anew.core.events import (
    BREACH_TAG,
    MONITOR_ERROR_TAG,
    Cause,
    Drift,
    Event,
    EventType,
    Ignored,
    Parsed,
    Rejected,
    Workspace,
)
from anew.errors import MalformedBody

_MAX_TOPIC = 600
_MAX_SUBJECT = 1024
_UNKNOWN_TYPE = "unknown type"

_RUN_SUBJECT = re.compile(r"/?experiments/(?P<experiment>[^/{}]+)/runs/(?P<run>[^/{}]+)/?", re.IGNORECASE)
# The documentation prints the plural, captured payloads have the singular (MicrosoftDocs/azure-docs issue 88070).
_DRIFT_SUBJECT = re.compile(r"/?datadrifts?/(?P<monitor>[^/{}]+)/runs?/(?P<run>[^/{}]+)/?", re.IGNORECASE)
_MODEL_SUBJECT = re.compile(r"/?models/(?P<model>[^/{}]+):(?P<version>[^/:{}]+)/?", re.IGNORECASE)
_SERVICE_SUBJECT = re.compile(r"/?endpoints/(?P<service>[^/{}]+)/?", re.IGNORECASE)

_ENDED_BADLY = frozenset({"failed", "canceled", "cancelled", "notresponding"})


class _Envelope(NamedTuple):
    type: str
    id: str
    workspace: Workspace
    subject: str
    time: datetime
    data: Fields

    def event(self, **fields: Any) -> Event:
        return Event(self.type, self.id, self.workspace, self.subject, self.time, **fields)


def parse_body(body: bytes) -> list[Parsed]:
    """The elements of a request's body, which may be one event or an array of them. Raises MalformedBody."""
    value = load_json(body)
    return [parse_event(element) for element in (value if isinstance(value, list) else [value])]


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
        kind = fields.text("eventType" if specversion is None else "type")
        known = _TYPES.get(kind.casefold())
        if known is None:
            return Ignored(_UNKNOWN_TYPE, _best_effort(_envelope(fields, specversion, kind, _loose_data(fields))))
        name, read = known
        return read(_envelope(fields, specversion, name, fields.nested("data")))
    except FieldError as error:
        return Rejected(str(error), raw)


def accept(parsed: Parsed, workspaces: Collection[Workspace]) -> Parsed:
    """The same, but an event of a workspace not among *workspaces* is ignored; an empty collection means any."""
    if not workspaces or not isinstance(parsed, Event) or parsed.workspace in workspaces:
        return parsed
    return Ignored(f"workspace {parsed.workspace.name} is not watched", parsed)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _envelope(fields: Fields, specversion: object, kind: str, data: Fields) -> _Envelope:
    cloud = specversion is not None
    if cloud and not str(specversion).startswith("1."):
        raise FieldError(f"specversion must be 1.0, found {shown(specversion)}")
    place = "source" if cloud else "topic"
    topic = fields.text(place, limit=_MAX_TOPIC)
    workspace = _workspace(topic)
    if workspace is None:
        raise FieldError(f"{place} must be the resource id of a workspace, found {shown(topic)}")
    subject = (fields.optional_text("subject") or "")[:_MAX_SUBJECT]
    return _Envelope(kind, fields.text("id"), workspace, subject, fields.time("time" if cloud else "eventTime"), data)


@lru_cache(maxsize=256)
def _workspace(topic: str) -> Workspace | None:
    return Workspace.parse(topic)


def _loose_data(fields: Fields) -> Fields:
    data = fields.get("data")
    return Fields(cast(dict[str, Any], data) if isinstance(data, dict) else {})


def _best_effort(envelope: _Envelope) -> Event:
    data = envelope.data
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


def _run(envelope: _Envelope) -> Event:
    data = envelope.data
    ended = envelope.type == EventType.RUN_COMPLETED
    status = "Completed" if ended else data.optional_text("runStatus", MAX_NAME)
    tags = data.tags("runTags")
    cause, drift = _run_meaning(status, tags or {})
    return envelope.event(
        run_id=data.text("runId", InText(envelope.subject, _RUN_SUBJECT, "run")),
        status=status,
        experiment=data.optional_text("experimentName", MAX_NAME),
        tags=tags,
        drift=drift,
        cause=cause,
    )


def _run_meaning(status: str | None, tags: Mapping[str, str]) -> tuple[Cause, Drift | None]:
    # A breach does not fail its run, and the tag may be seen before the run ends: the tag decides, not the status.
    breach = _tag(tags, BREACH_TAG)
    if breach:
        return Cause.DRIFT, parse_breach_tag(breach)
    if _tag(tags, MONITOR_ERROR_TAG):
        return Cause.MONITOR_FAILED, None
    folded = (status or "").casefold()
    if folded == "completed":
        return Cause.RUN_COMPLETED, None
    return (Cause.RUN_FAILED if folded in _ENDED_BADLY else Cause.RUN_PROGRESS), None


def _dataset_drift(envelope: _Envelope) -> Event:
    data = envelope.data
    drift = Drift(
        monitor=data.optional_text("dataDriftName", MAX_NAME),
        coefficient=data.fraction("driftCoefficient"),
        monitor_id=data.optional_text("dataDriftId", MAX_NAME)
        or _capped(InText(envelope.subject, _DRIFT_SUBJECT, "monitor").find()),
        baseline_dataset_id=data.optional_text("baseDatasetId", MAX_NAME),
        target_dataset_id=data.optional_text("targetDatasetId", MAX_NAME),
        # Null, or the text "null" (Azure/azure-rest-api-specs PR 31182); drift is not lost for want of its window.
        start=parse_time(data.get("startTime")),
        end=parse_time(data.get("endTime")),
    )
    run_id = data.text("runId", InText(envelope.subject, _DRIFT_SUBJECT, "run"))
    return envelope.event(run_id=run_id, drift=drift, cause=Cause.DRIFT)


def _model_registered(envelope: _Envelope) -> Event:
    data = envelope.data
    return envelope.event(
        model=data.text("modelName", InText(envelope.subject, _MODEL_SUBJECT, "model")),
        version=data.version("modelVersion", InText(envelope.subject, _MODEL_SUBJECT, "version")),
        tags=data.tags("modelTags"),
        cause=Cause.MODEL_REGISTERED,
    )


def _model_deployed(envelope: _Envelope) -> Event:
    data = envelope.data
    listed = data.text("modelIds", limit=MAX_LIST)
    models = tuple(name for part in listed.split(",") if (name := part.strip()))
    if not models:
        raise FieldError(f"data.modelIds must name a model, found {shown(listed)}")
    split = [_name_and_version(model) for model in models]
    return envelope.event(
        service=data.text("serviceName", InText(envelope.subject, _SERVICE_SUBJECT, "service")),
        models=models,
        model=_common([name for name, _ in split]),
        version=_common([version for _, version in split]),
        tags=data.tags("serviceTags"),
        cause=Cause.MODEL_DEPLOYED,
    )


_READERS: Mapping[EventType, Callable[[_Envelope], Event]] = {
    EventType.DATASET_DRIFT_DETECTED: _dataset_drift,
    EventType.RUN_COMPLETED: _run,
    EventType.RUN_STATUS_CHANGED: _run,
    EventType.MODEL_REGISTERED: _model_registered,
    EventType.MODEL_DEPLOYED: _model_deployed,
}


_TYPES = {name.casefold(): (name, read) for name, read in _READERS.items()}


def _tag(tags: Mapping[str, str], name: str) -> str | None:
    return next((value for key, value in tags.items() if key.casefold() == name.casefold() and value.strip()), None)


def _name_and_version(model: str) -> tuple[str, str | None]:
    name, colon, version = model.rpartition(":")
    return (name, version) if colon else (model, None)


def _common(values: list[str | None] | list[str]) -> str | None:
    return values[0] if len(set(values)) == 1 else None


def _capped(text: str | None) -> str | None:
    return text[:MAX_NAME] if text else None
