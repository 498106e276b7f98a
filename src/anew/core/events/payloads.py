"""The payload of each event type (its `data`), and its meaning.

The fields are those of the published schemas (Azure/azure-rest-api-specs, Microsoft.MachineLearningServices). Captured
payloads also leave fields out, or hold only nulls: then a name is taken from the event's subject.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, assert_never

from anew.core.events.breach_tag import parse_breach_tag
from anew.core.events.event import BREACH_TAG, MONITOR_ERROR_TAG, Cause, Drift, Event, EventType, Workspace
from anew.core.events.fields import MAX_LIST, MAX_NAME, FieldError, Fields, InText, parse_time, shown

# The documentation prints the plural, captured payloads have the singular (MicrosoftDocs/azure-docs issue 88070).
_DRIFT_SUBJECT = re.compile(r"/?datadrifts?/(?P<monitor>[^/{}]+)/runs?/(?P<run>[^/{}]+)/?", re.IGNORECASE)
_RUN_SUBJECT = re.compile(r"/?experiments/(?P<experiment>[^/{}]+)/runs/(?P<run>[^/{}]+)/?", re.IGNORECASE)
_MODEL_SUBJECT = re.compile(r"/?models/(?P<model>[^/{}]+):(?P<version>[^/:{}]+)/?", re.IGNORECASE)
_SERVICE_SUBJECT = re.compile(r"/?endpoints/(?P<service>[^/{}]+)/?", re.IGNORECASE)

_ENDED_BADLY = frozenset({"failed", "canceled", "cancelled", "notresponding"})


class Envelope(NamedTuple):
    """The fields around `data`, which both schemas have."""

    type: str
    id: str
    workspace: Workspace
    subject: str
    time: datetime

    def event(self, **fields: Any) -> Event:
        """The event in this envelope."""
        return Event(*self, **fields)


def read_payload(kind: EventType, data: Fields, envelope: Envelope) -> Event:
    """The event that *data*, the payload of an event of this type, describes. Raises FieldError."""
    match kind:
        case EventType.DATASET_DRIFT_DETECTED:
            return _dataset_drift(data, envelope)
        case EventType.RUN_COMPLETED:
            return _run(data, envelope, "Completed")
        case EventType.RUN_STATUS_CHANGED:
            return _run(data, envelope, data.optional_text("runStatus", MAX_NAME))
        case EventType.MODEL_REGISTERED:
            return _model_registered(data, envelope)
        case EventType.MODEL_DEPLOYED:
            return _model_deployed(data, envelope)
        case _:
            assert_never(kind)


def _dataset_drift(data: Fields, envelope: Envelope) -> Event:
    monitor = InText(envelope.subject, _DRIFT_SUBJECT, "monitor").find()
    drift = Drift(
        data.optional_text("dataDriftName", MAX_NAME),
        data.fraction("driftCoefficient"),
        data.optional_text("dataDriftId", MAX_NAME) or (monitor and monitor[:MAX_NAME].rstrip()),
        data.optional_text("baseDatasetId", MAX_NAME),
        data.optional_text("targetDatasetId", MAX_NAME),
        # Null, or the text "null" (Azure/azure-rest-api-specs PR 31182): without its window, drift is still drift.
        parse_time(data.get("startTime")),
        parse_time(data.get("endTime")),
    )
    run_id = data.text("runId", InText(envelope.subject, _DRIFT_SUBJECT, "run"))
    return envelope.event(run_id=run_id, drift=drift, cause=Cause.DRIFT)


def _run(data: Fields, envelope: Envelope, status: str | None) -> Event:
    tags = data.tags("runTags")
    cause, drift = _meaning(status, tags or {})
    return envelope.event(
        run_id=data.text("runId", InText(envelope.subject, _RUN_SUBJECT, "run")),
        status=status,
        experiment=data.optional_text("experimentName", MAX_NAME),
        tags=tags,
        drift=drift,
        cause=cause,
    )


def _meaning(status: str | None, tags: Mapping[str, str]) -> tuple[Cause, Drift | None]:
    # A breach does not fail its run, and the tag may appear before the run ends: the tag decides, not the status.
    breach = _tag(tags, BREACH_TAG)
    if breach:
        return Cause.DRIFT, parse_breach_tag(breach)
    if _tag(tags, MONITOR_ERROR_TAG):
        return Cause.MONITOR_FAILED, None
    folded = (status or "").casefold()
    if folded == "completed":
        return Cause.RUN_COMPLETED, None
    return (Cause.RUN_FAILED if folded in _ENDED_BADLY else Cause.RUN_PROGRESS), None


def _tag(tags: Mapping[str, str], name: str) -> str | None:
    return next((value for key, value in tags.items() if key.casefold() == name.casefold() and value.strip()), None)


def _model_registered(data: Fields, envelope: Envelope) -> Event:
    return envelope.event(
        model=data.text("modelName", InText(envelope.subject, _MODEL_SUBJECT, "model")),
        version=data.version("modelVersion", InText(envelope.subject, _MODEL_SUBJECT, "version")),
        tags=data.tags("modelTags"),
        cause=Cause.MODEL_REGISTERED,
    )


def _model_deployed(data: Fields, envelope: Envelope) -> Event:
    ids = data.text("modelIds", limit=MAX_LIST)  # `name:version`, separated by commas
    service = data.text("serviceName", InText(envelope.subject, _SERVICE_SUBJECT, "service"))
    models = tuple(model for part in ids.split(",") if (model := part.strip()))
    if not models:
        raise FieldError(f"data.modelIds must name a model, found {shown(ids)}")
    names, versions = zip(*map(_name_and_version, models), strict=True)
    return envelope.event(
        service=service,
        models=models,
        model=_common(names),
        version=_common(versions),
        tags=data.tags("serviceTags"),
        cause=Cause.MODEL_DEPLOYED,
    )


def _name_and_version(model: str) -> tuple[str, str | None]:
    name, colon, version = model.rpartition(":")
    return (name, version) if colon else (model, None)


def _common(values: Sequence[str | None]) -> str | None:
    return values[0] if len(set(values)) == 1 else None
