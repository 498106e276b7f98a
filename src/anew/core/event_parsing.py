"""From bytes to events: Event Grid schema and CloudEvents 1.0, single or batched, in every variation Azure ML sends.

Nothing here raises for JSON of any shape: an element is an `Event`, knowingly `Ignored`, or `Rejected` with the reason.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any, NamedTuple, NoReturn, cast

from anew.core.breach_tag import parse_breach_tag
from anew.core.event_fields import MAX_LIST, MAX_NAME, FieldError, Fields, parse_time, shown
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

_TYPES = {known.casefold(): known for known in EventType}
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
    try:
        value: object = json.loads(body.decode("utf-8-sig"), parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise MalformedBody(f"the body is not UTF-8: byte {error.start}") from error
    except RecursionError as error:
        raise MalformedBody("the body is nested too deeply") from error
    except ValueError as error:
        raise MalformedBody(f"the body is not JSON: {str(error)[:200]}") from error
    if isinstance(value, dict | list):
        return cast(dict[str, Any] | list[Any], value)
    raise MalformedBody(f"the body must be an object or an array, found {shown(value)}")


def parse_event(raw: object) -> Parsed:
    """One element, whichever schema its shape shows. Never raises."""
    if not isinstance(raw, dict):
        return Rejected(f"an event must be an object, found {shown(raw)}", raw)
    fields = Fields(cast(dict[Any, Any], raw))
    try:
        kind = fields.text("eventType" if fields.get("specversion") is None else "type")
        known = _TYPES.get(kind.casefold())
        envelope = _envelope(fields, known or kind)
        if known is None:
            return Ignored(_UNKNOWN_TYPE, _best_effort(envelope))
        return _READERS[known](envelope)
    except FieldError as error:
        return Rejected(str(error), raw)


def accept(parsed: Parsed, workspaces: Collection[Workspace]) -> Parsed:
    """The same, but an event of a workspace not among *workspaces* is ignored; an empty collection means any."""
    if not workspaces or not isinstance(parsed, Event) or parsed.workspace in workspaces:
        return parsed
    return Ignored(f"workspace {parsed.workspace.name} is not watched", parsed)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _envelope(fields: Fields, kind: str) -> _Envelope:
    cloud = fields.get("specversion") is not None
    if cloud and not str(fields.get("specversion")).startswith("1."):
        raise FieldError(f"specversion must be 1.0, found {shown(fields.get('specversion'))}")
    place = "source" if cloud else "topic"
    topic = fields.text(place, limit=_MAX_TOPIC)
    workspace = Workspace.parse(topic)
    if workspace is None:
        raise FieldError(f"{place} must be the resource id of a workspace, found {shown(topic)}")
    data = fields.nested("data") if kind.casefold() in _TYPES else _loose_data(fields)
    subject = (fields.optional_text("subject") or "")[:_MAX_SUBJECT]
    return _Envelope(kind, fields.text("id"), workspace, subject, fields.time("time" if cloud else "eventTime"), data)


def _loose_data(fields: Fields) -> Fields:
    data = fields.get("data")
    return Fields(cast(dict[Any, Any], data) if isinstance(data, dict) else {})


def _best_effort(envelope: _Envelope) -> Event:
    data = envelope.data
    return envelope.event(
        run_id=_capped(data.optional_text("runId")),
        status=_capped(data.optional_text("runStatus")),
        experiment=_capped(data.optional_text("experimentName")),
        model=_capped(data.optional_text("modelName")),
        service=_capped(data.optional_text("serviceName")),
        tags=next(
            (tags for name in ("runTags", "modelTags", "serviceTags") if (tags := data.tags(name)) is not None), None
        ),
    )


def _run(envelope: _Envelope) -> Event:
    data, subject = envelope.data, _groups(_RUN_SUBJECT, envelope.subject)
    ended = envelope.type == EventType.RUN_COMPLETED
    status = "Completed" if ended else _capped(data.optional_text("runStatus"))
    tags = data.tags("runTags")
    cause, drift = _run_meaning(status, tags or {})
    return envelope.event(
        run_id=data.text("runId", subject.get("run")),
        status=status,
        experiment=_capped(data.optional_text("experimentName")),
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
    data, subject = envelope.data, _groups(_DRIFT_SUBJECT, envelope.subject)
    drift = Drift(
        monitor=_capped(data.optional_text("dataDriftName")),
        coefficient=data.fraction("driftCoefficient"),
        monitor_id=_capped(data.optional_text("dataDriftId") or subject.get("monitor")),
        baseline_dataset_id=_capped(data.optional_text("baseDatasetId")),
        target_dataset_id=_capped(data.optional_text("targetDatasetId")),
        # Null, or the text "null" (Azure/azure-rest-api-specs PR 31182); drift is not lost for want of its window.
        start=parse_time(data.get("startTime")),
        end=parse_time(data.get("endTime")),
    )
    return envelope.event(run_id=data.text("runId", subject.get("run")), drift=drift, cause=Cause.DRIFT)


def _model_registered(envelope: _Envelope) -> Event:
    data, subject = envelope.data, _groups(_MODEL_SUBJECT, envelope.subject)
    return envelope.event(
        model=data.text("modelName", subject.get("model")),
        version=data.version("modelVersion", subject.get("version")),
        tags=data.tags("modelTags"),
        cause=Cause.MODEL_REGISTERED,
    )


def _model_deployed(envelope: _Envelope) -> Event:
    data, subject = envelope.data, _groups(_SERVICE_SUBJECT, envelope.subject)
    listed = data.text("modelIds", limit=MAX_LIST)
    models = tuple(name for part in listed.split(",") if (name := part.strip()))
    if not models:
        raise FieldError(f"data.modelIds must name a model, found {shown(listed)}")
    split = [_name_and_version(model) for model in models]
    return envelope.event(
        service=data.text("serviceName", subject.get("service")),
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


def _groups(pattern: re.Pattern[str], subject: str) -> Mapping[str, str]:
    match = pattern.fullmatch(subject)
    return match.groupdict() if match else {}


def _tag(tags: Mapping[str, str], name: str) -> str | None:
    return next((value for key, value in tags.items() if key.casefold() == name.casefold() and value.strip()), None)


def _name_and_version(model: str) -> tuple[str, str | None]:
    name, colon, version = model.rpartition(":")
    return (name, version) if colon else (model, None)


def _common(values: list[str | None] | list[str]) -> str | None:
    return values[0] if len(set(values)) == 1 else None


def _capped(text: str | None) -> str | None:
    return text[:MAX_NAME] if text else None
