"""Azure Machine Learning events as values.

An `Event` is one normalised Azure event, whichever schema and casing it came in. It is not yet a reason to act: `cause`
names its meaning, and `key` identifies the happening, which a poll of Azure finds under the same key.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Self, assert_never

from msgspec import Struct

NAMESPACE = "Microsoft.MachineLearningServices"
BREACH_TAG = "azureml_modelmonitor_threshold_breached"
MONITOR_ERROR_TAG = "azureml.modelmonitor.error"

_LONGEST_NAME = 400  # characters

_WORKSPACE = re.compile(
    r"^/?subscriptions/(?P<subscription>[^/]+)/resourceGroups/(?P<group>[^/]+)"
    r"/providers/Microsoft\.MachineLearningServices/workspaces/(?P<name>[^/]+)/?$",
    re.IGNORECASE,
)


class EventType(StrEnum):
    """The types of event that Azure ML raises (`Microsoft.MachineLearningServices.*`)."""

    DATASET_DRIFT_DETECTED = f"{NAMESPACE}.DatasetDriftDetected"
    RUN_COMPLETED = f"{NAMESPACE}.RunCompleted"
    RUN_STATUS_CHANGED = f"{NAMESPACE}.RunStatusChanged"
    MODEL_REGISTERED = f"{NAMESPACE}.ModelRegistered"
    MODEL_DEPLOYED = f"{NAMESPACE}.ModelDeployed"


class Cause(StrEnum):
    """The meaning of an event. Several event types can have one cause, and one type several causes."""

    DRIFT = "drift"  # a v1 monitor found drift, or a v2 monitor's run carries the breach tag
    MONITOR_FAILED = "monitor-failed"  # the monitor itself had no data or broke: never drift
    RUN_COMPLETED = "run-completed"
    RUN_FAILED = "run-failed"  # failed, canceled or not responding
    RUN_PROGRESS = "run-progress"  # the status of a run changed, but it has not ended
    MODEL_REGISTERED = "model-registered"
    MODEL_DEPLOYED = "model-deployed"
    MANUAL = "manual"  # a person asked for a retraining: not an Azure event, but in the same inbox


# Structs rather than dataclasses: their JSON in the ledger leaves out what is absent (`omit_defaults`).
class Workspace(Struct, frozen=True, eq=False):
    """An Azure ML workspace. Equality ignores case, as ARM ids do."""

    subscription_id: str
    resource_group: str
    name: str

    def __eq__(self, other: object) -> bool:
        return self.key == other.key if isinstance(other, Workspace) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.key)

    @property
    def key(self) -> str:
        """The text that two spellings of one workspace share."""
        return self.arm_id.casefold()

    @property
    def arm_id(self) -> str:
        """The ARM resource id, in canonical spelling."""
        return (
            f"/subscriptions/{self.subscription_id}/resourceGroups/{self.resource_group}"
            f"/providers/{NAMESPACE}/workspaces/{self.name}"
        )

    @classmethod
    def parse(cls, arm_id: str) -> Self | None:
        """The workspace that an ARM id names, None when it names something else."""
        match = _WORKSPACE.match(arm_id)
        return cls(match["subscription"], match["group"], match["name"]) if match else None


class Breach(Struct, frozen=True, omit_defaults=True):
    """One metric of a v2 monitor beyond its threshold; feature is None for a metric of the whole model."""

    metric: str
    value: float | None
    threshold: float | None
    feature: str | None = None


class Drift(Struct, frozen=True, omit_defaults=True):
    """The finding of a monitor: a coefficient in 0..1 (v1), or the breaches of a signal (v2)."""

    monitor: str | None
    coefficient: float | None = None
    monitor_id: str | None = None
    baseline_dataset_id: str | None = None
    target_dataset_id: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    breaches: tuple[Breach, ...] = ()


class Event(Struct, frozen=True, omit_defaults=True):
    """One Azure ML event, normalised. Missing parts are None; `tags` is None when the payload had no tags at all."""

    type: str
    id: str
    workspace: Workspace
    subject: str
    time: datetime
    run_id: str | None = None
    status: str | None = None
    experiment: str | None = None
    model: str | None = None
    version: str | None = None
    service: str | None = None
    models: tuple[str, ...] = ()  # `name:version` of each model of a ModelDeployed
    tags: Mapping[str, str] | None = None
    drift: Drift | None = None
    cause: Cause | None = None  # None for an unknown type

    @property
    def key(self) -> str:
        """Workspace, cause and object: an event and a poll of Azure give the same key for the same happening."""
        return event_key(self.workspace, self.cause, self.object)

    @property
    def object(self) -> str:
        """The run, model version or endpoint that this event is about; for unknown types, the event's id."""
        match self.cause:
            case Cause.MANUAL | None:
                return self.id
            case Cause.MODEL_REGISTERED:
                return f"{self.model}:{self.version}"
            case Cause.MODEL_DEPLOYED:
                return f"{self.service}={','.join(self.models)}"
            case Cause.RUN_PROGRESS:
                return f"{self.run_id}@{(self.status or '').casefold()}"
            case Cause.DRIFT | Cause.MONITOR_FAILED | Cause.RUN_COMPLETED | Cause.RUN_FAILED:
                return f"{self.run_id}"
            case _:
                assert_never(self.cause)


def event_key(workspace: Workspace, cause: Cause | None, name: str) -> str:
    """The key under which the inbox has one happening, whether an event or a poll reported it."""
    # A key must fit its column, and PostgreSQL's 2,704 bytes for an indexed value. Only a list of models is longer.
    if len(name) > _LONGEST_NAME:
        name = f"sha256:{hashlib.sha256(name.encode()).hexdigest()}"
    return f"{cause or 'unknown'}|{workspace.key}|{name}"


@dataclass(frozen=True, slots=True)
class Ignored:
    """Well formed but not for anew: an unknown type, or another workspace."""

    reason: str
    event: Event


@dataclass(frozen=True, slots=True)
class Rejected:
    """Cannot be an event: `reason` says what is wrong and where; `raw` is the element as received."""

    reason: str
    raw: Any


Parsed = Event | Ignored | Rejected
