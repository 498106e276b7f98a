"""Azure ML's Event Grid events, as the workspace raises them: Event Grid schema, camelCase data, 7-digit times.

Field names and subjects follow the published event schema of ``Microsoft.MachineLearningServices``; where captured
payloads and documentation disagree on casing or on the drift subject, the captured form is used.
"""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NotRequired, TypedDict, Unpack

from anew.emulator.base.cloud import timestamp
from anew.emulator.base.state import Document

PREFIX = "Microsoft.MachineLearningServices."
RUN_COMPLETED = PREFIX + "RunCompleted"
RUN_STATUS_CHANGED = PREFIX + "RunStatusChanged"
MODEL_REGISTERED = PREFIX + "ModelRegistered"
MODEL_DEPLOYED = PREFIX + "ModelDeployed"
DATASET_DRIFT_DETECTED = PREFIX + "DatasetDriftDetected"

_NAMES = uuid.UUID("5e2a3f5c-9a4b-4c55-8f0d-3d6c4b1f7a10")


def stable_id(*parts: str) -> str:
    """The same GUID for the same parts in any case: for ids that the service makes once and keeps."""
    return str(uuid.uuid5(_NAMES, "/".join(parts).casefold()))


class RunFields(TypedDict):
    """The run that an event is about; the run type defaults to a command job."""

    run_id: str
    experiment: str
    tags: Mapping[str, str]
    properties: Mapping[str, str]
    run_type: NotRequired[str]


def run_status_changed(workspace_id: str, *, status: str, **run: Unpack[RunFields]) -> Document:
    """RunStatusChanged for a run whose status has just become status."""
    return _run_event(workspace_id, RUN_STATUS_CHANGED, {"runStatus": status}, run)


def run_completed(workspace_id: str, **run: Unpack[RunFields]) -> Document:
    """RunCompleted for a run that finished successfully."""
    return _run_event(workspace_id, RUN_COMPLETED, {}, run)


def model_registered(
    workspace_id: str, *, name: str, version: str, tags: Mapping[str, str], properties: Mapping[str, str]
) -> Document:
    """ModelRegistered for a new model version; the version is sent as a string."""
    data: Document = {
        "modelName": name,
        "modelVersion": version,
        "modelTags": dict(tags),
        "modelProperties": dict(properties),
    }
    return _event(workspace_id, MODEL_REGISTERED, f"models/{name}:{version}", data)


def model_deployed(workspace_id: str, *, service: str, model_ids: str, tags: Mapping[str, str]) -> Document:
    """ModelDeployed for an endpoint; model_ids is a comma-separated list of name:version.

    That managed online endpoints raise it, and their compute type "Managed", is (unverified).
    """
    data: Document = {
        "serviceName": service,
        "serviceComputeType": "Managed",
        "modelIds": model_ids,
        "serviceTags": dict(tags),
        "serviceProperties": {},
    }
    return _event(workspace_id, MODEL_DEPLOYED, f"endpoints/{service}", data)


def dataset_drift_detected(
    workspace_id: str, *, drift_id: str, name: str, run_id: str, coefficient: float, start: datetime, end: datetime
) -> Document:
    """DatasetDriftDetected of a v1 dataset monitor; coefficient is in 0..1, start and end bound the target data."""
    data: Document = {
        "dataDriftId": drift_id,
        "dataDriftName": name,
        "runId": run_id,
        "baseDatasetId": stable_id(workspace_id, drift_id, "base"),
        "targetDatasetId": stable_id(workspace_id, drift_id, "target"),
        "driftCoefficient": coefficient,
        "startTime": start.astimezone(UTC).isoformat(),
        "endTime": end.astimezone(UTC).isoformat(),
    }
    return _event(workspace_id, DATASET_DRIFT_DETECTED, f"datadrift/{drift_id}/run/{run_id}", data)


def to_cloud_event(event: Document) -> Document:
    """The same event in the CloudEvents 1.0 schema."""
    return {
        "specversion": "1.0",
        "id": event["id"],
        "source": event["topic"],
        "type": event["eventType"],
        "subject": event["subject"],
        "time": event["eventTime"],
        "data": event["data"],
    }


def _run_event(workspace_id: str, event_type: str, status: Document, run: RunFields) -> Document:
    experiment_id = stable_id(workspace_id, "experiments", run["experiment"])
    data: Document = {
        **status,
        "experimentId": experiment_id,
        "experimentName": run["experiment"],
        "runId": run["run_id"],
        "runType": run.get("run_type", "azureml.CommandJob"),
        "runTags": dict(run["tags"]),
        "runProperties": dict(run["properties"]),
    }
    return _event(workspace_id, event_type, f"experiments/{experiment_id}/runs/{run['run_id']}", data)


def _event(workspace_id: str, event_type: str, subject: str, data: Document) -> Document:
    return {
        "topic": workspace_id,
        "subject": subject,
        "eventType": event_type,
        "eventTime": timestamp(),
        "id": str(uuid.uuid4()),
        "data": data,
        "dataVersion": "2",
        "metadataVersion": "1",
    }
