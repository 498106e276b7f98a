"""Azure ML's Event Grid events, as the workspace raises them: Event Grid schema, camelCase data, 7-digit times.

Field names and subjects follow the published event schema of ``Microsoft.MachineLearningServices``; where captured
payloads and documentation disagree on casing or on the drift subject, the captured form is used.
"""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime

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
    """The same GUID for the same parts, whatever their case: for ids the service makes once and keeps."""
    return str(uuid.uuid5(_NAMES, "/".join(parts).casefold()))


def run_status_changed(
    workspace_id: str,
    *,
    run_id: str,
    experiment: str,
    status: str,
    tags: Mapping[str, str],
    properties: Mapping[str, str],
    run_type: str = "azureml.CommandJob",
    event_id: str | None = None,
    at: datetime | None = None,
) -> Document:
    """RunStatusChanged for a run that has just taken on status."""
    run = _run_data(
        workspace_id, run_id=run_id, experiment=experiment, tags=tags, properties=properties, run_type=run_type
    )
    data = {"runStatus": status, **run}
    return _event(workspace_id, RUN_STATUS_CHANGED, _run_subject(data), data, event_id=event_id, at=at)


def run_completed(
    workspace_id: str,
    *,
    run_id: str,
    experiment: str,
    tags: Mapping[str, str],
    properties: Mapping[str, str],
    run_type: str = "azureml.CommandJob",
    event_id: str | None = None,
    at: datetime | None = None,
) -> Document:
    """RunCompleted for a run that finished successfully."""
    data = _run_data(
        workspace_id, run_id=run_id, experiment=experiment, tags=tags, properties=properties, run_type=run_type
    )
    return _event(workspace_id, RUN_COMPLETED, _run_subject(data), data, event_id=event_id, at=at)


def model_registered(
    workspace_id: str,
    *,
    name: str,
    version: str,
    tags: Mapping[str, str],
    properties: Mapping[str, str],
    event_id: str | None = None,
    at: datetime | None = None,
) -> Document:
    """ModelRegistered for a new model version; the version travels as a string."""
    data: Document = {
        "modelName": name,
        "modelVersion": version,
        "modelTags": dict(tags),
        "modelProperties": dict(properties),
    }
    return _event(workspace_id, MODEL_REGISTERED, f"models/{name}:{version}", data, event_id=event_id, at=at)


def model_deployed(
    workspace_id: str,
    *,
    service: str,
    model_ids: str,
    tags: Mapping[str, str],
    event_id: str | None = None,
    at: datetime | None = None,
) -> Document:
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
    return _event(workspace_id, MODEL_DEPLOYED, f"endpoints/{service}", data, event_id=event_id, at=at)


def dataset_drift_detected(
    workspace_id: str,
    *,
    drift_id: str,
    name: str,
    run_id: str,
    coefficient: float,
    start: datetime | None,
    end: datetime | None,
    event_id: str | None = None,
    at: datetime | None = None,
) -> Document:
    """DatasetDriftDetected of a v1 dataset monitor; coefficient is in 0..1, start and end bound the target data."""
    data: Document = {
        "dataDriftId": drift_id,
        "dataDriftName": name,
        "runId": run_id,
        "baseDatasetId": stable_id(workspace_id, drift_id, "base"),
        "targetDatasetId": stable_id(workspace_id, drift_id, "target"),
        "driftCoefficient": coefficient,
        "startTime": _offset_time(start),
        "endTime": _offset_time(end),
    }
    return _event(
        workspace_id, DATASET_DRIFT_DETECTED, f"datadrift/{drift_id}/run/{run_id}", data, event_id=event_id, at=at
    )


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


def _event(
    workspace_id: str, event_type: str, subject: str, data: Document, *, event_id: str | None, at: datetime | None
) -> Document:
    return {
        "topic": workspace_id,
        "subject": subject,
        "eventType": event_type,
        "eventTime": timestamp(at),
        "id": event_id or str(uuid.uuid4()),
        "data": data,
        "dataVersion": "2",
        "metadataVersion": "1",
    }


def _run_data(
    workspace_id: str,
    *,
    run_id: str,
    experiment: str,
    tags: Mapping[str, str],
    properties: Mapping[str, str],
    run_type: str,
) -> Document:
    return {
        "experimentId": stable_id(workspace_id, "experiments", experiment),
        "experimentName": experiment,
        "runId": run_id,
        "runType": run_type,
        "runTags": dict(tags),
        "runProperties": dict(properties),
    }


def _run_subject(data: Document) -> str:
    return f"experiments/{data['experimentId']}/runs/{data['runId']}"


def _offset_time(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat()
