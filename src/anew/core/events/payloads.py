"""What an event of each type carries in its `data`, and what that means.

The fields are those of the published schemas (Azure/azure-rest-api-specs, Microsoft.MachineLearningServices), spelled
as captured payloads spell them. A payload is read exactly as it is declared here (`exact_events`), or from what
resembles it (`event_parsing`). Its texts are never blank and have no blank ends.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta, Raw, Struct

from anew.core.events.breach_tag import parse_breach_tag
from anew.core.events.event import BREACH_TAG, MONITOR_ERROR_TAG, Cause, Drift, Event, EventType, Workspace
from anew.core.events.fields import MAX_LIST, MAX_NAME, FieldError, InText, parse_time, shown

# The documentation prints the plural, captured payloads have the singular (MicrosoftDocs/azure-docs issue 88070).
DRIFT_SUBJECT = re.compile(r"/?datadrifts?/(?P<monitor>[^/{}]+)/runs?/(?P<run>[^/{}]+)/?", re.IGNORECASE)

_ENDED_BADLY = frozenset({"failed", "canceled", "cancelled", "notresponding"})

_Name = Annotated[str, Meta(max_length=MAX_NAME)]
_Version = Annotated[int, Meta(ge=0, le=2**63 - 1)] | _Name
_UNREAD = Raw()  # of a field that is known, and of no use


class Envelope(Struct, frozen=True, gc=False):
    """What both schemas say around `data`."""

    type: str
    id: str
    workspace: Workspace
    subject: str
    time: datetime

    def event(self, **fields: Any) -> Event:
        """The event in this envelope."""
        return Event(self.type, self.id, self.workspace, self.subject, self.time, **fields)


class RunPayload(Struct, frozen=True, gc=False, rename="camel", forbid_unknown_fields=True):
    """Of RunCompleted, and with a status of RunStatusChanged."""

    run_id: _Name
    run_status: _Name | None = None
    experiment_name: _Name | None = None
    run_tags: dict[str, str] | None = None
    run_properties: Raw = _UNREAD
    run_type: Raw = _UNREAD
    experiment_id: Raw = _UNREAD
    created_by: Raw = _UNREAD

    def __post_init__(self) -> None:
        _check(self.run_id, self.run_status, self.experiment_name)

    def event(self, envelope: Envelope) -> Event:
        """Drift when its tags tell of a breach, otherwise the progress or the end of a run."""
        status = "Completed" if envelope.type == EventType.RUN_COMPLETED else self.run_status
        cause, drift = _meaning(status, self.run_tags or {})
        return envelope.event(
            run_id=self.run_id,
            status=status,
            experiment=self.experiment_name,
            tags=self.run_tags,
            drift=drift,
            cause=cause,
        )


class DriftPayload(Struct, frozen=True, gc=False, rename="camel", forbid_unknown_fields=True):
    """Of DatasetDriftDetected."""

    run_id: _Name
    drift_coefficient: Annotated[float, Meta(ge=0, le=1)]
    data_drift_id: _Name | None = None
    data_drift_name: _Name | None = None
    base_dataset_id: _Name | None = None
    target_dataset_id: _Name | None = None
    # Null, or the text "null" (Azure/azure-rest-api-specs PR 31182); drift is not lost for want of its window.
    start_time: str | None = None
    end_time: str | None = None

    def __post_init__(self) -> None:
        _check(self.run_id, self.data_drift_id, self.data_drift_name, self.base_dataset_id, self.target_dataset_id)

    def event(self, envelope: Envelope) -> Event:
        """Always drift."""
        drift = Drift(
            self.data_drift_name,
            self.drift_coefficient,
            self.data_drift_id or _monitor_of(envelope.subject),
            self.base_dataset_id,
            self.target_dataset_id,
            parse_time(self.start_time),
            parse_time(self.end_time),
        )
        return envelope.event(run_id=self.run_id, drift=drift, cause=Cause.DRIFT)


class ModelPayload(Struct, frozen=True, gc=False, rename="camel", forbid_unknown_fields=True):
    """Of ModelRegistered. The version is sent as text or as a number."""

    model_name: _Name
    model_version: _Version
    model_tags: dict[str, str] | None = None
    model_properties: Raw = _UNREAD

    def __post_init__(self) -> None:
        _check(self.model_name, str(self.model_version))

    def event(self, envelope: Envelope) -> Event:
        """A new version."""
        version = str(self.model_version)
        return envelope.event(
            model=self.model_name, version=version, tags=self.model_tags, cause=Cause.MODEL_REGISTERED
        )


class DeploymentPayload(Struct, frozen=True, gc=False, rename="camel", forbid_unknown_fields=True):
    """Of ModelDeployed; `model_ids` is `name:version`, comma-separated."""

    service_name: _Name
    model_ids: Annotated[str, Meta(max_length=MAX_LIST)]
    service_tags: dict[str, str] | None = None
    service_compute_type: Raw = _UNREAD
    service_properties: Raw = _UNREAD

    def __post_init__(self) -> None:
        _check(self.service_name, self.model_ids)

    def event(self, envelope: Envelope) -> Event:
        """The models that an endpoint serves, and the name and version that all of them share."""
        models = tuple(name for part in self.model_ids.split(",") if (name := part.strip()))
        if not models:
            raise FieldError(f"data.modelIds must name a model, found {shown(self.model_ids)}")
        split = [_name_and_version(model) for model in models]
        return envelope.event(
            service=self.service_name,
            models=models,
            model=_common([name for name, _ in split]),
            version=_common([version for _, version in split]),
            tags=self.service_tags,
            cause=Cause.MODEL_DEPLOYED,
        )


Payload = RunPayload | DriftPayload | ModelPayload | DeploymentPayload

PAYLOADS: Mapping[EventType, type[Payload]] = {
    EventType.DATASET_DRIFT_DETECTED: DriftPayload,
    EventType.RUN_COMPLETED: RunPayload,
    EventType.RUN_STATUS_CHANGED: RunPayload,
    EventType.MODEL_REGISTERED: ModelPayload,
    EventType.MODEL_DEPLOYED: DeploymentPayload,
}


def _check(*texts: str | None) -> None:
    for text in texts:
        if text is not None and (not text or text != text.strip()):
            raise FieldError(f"a text has blank ends: {shown(text)}")


def _monitor_of(subject: str) -> str | None:
    monitor = InText(subject, DRIFT_SUBJECT, "monitor").find()
    return monitor[:MAX_NAME].rstrip() if monitor else None


def _meaning(status: str | None, tags: Mapping[str, str]) -> tuple[Cause, Drift | None]:
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


def _tag(tags: Mapping[str, str], name: str) -> str | None:
    return next((value for key, value in tags.items() if key.casefold() == name.casefold() and value.strip()), None)


def _name_and_version(model: str) -> tuple[str, str | None]:
    name, colon, version = model.rpartition(":")
    return (name, version) if colon else (model, None)


def _common(values: Sequence[str | None]) -> str | None:
    return values[0] if len(set(values)) == 1 else None
