"""Events as JSON values: one line for people and programs, and a lossless form for the ledger."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from anew.core.events import Breach, Cause, Drift, Event, Workspace


def event_line(event: Event) -> dict[str, Any]:
    """The public form of an event, as `anew` prints and passes it; what is absent is null.

    Keys: type, workspace (ARM id), subject, id, time (RFC 3339, UTC), run_id, model, version, tags, drift.
    """
    return {
        "type": event.type,
        "workspace": event.workspace.arm_id,
        "subject": event.subject,
        "id": event.id,
        "time": _time_text(event.time),
        "run_id": event.run_id,
        "model": event.model,
        "version": event.version,
        "tags": None if event.tags is None else dict(event.tags),
        "drift": None if event.drift is None else _drift_line(event.drift),
    }


def dump_event(event: Event) -> str:
    """All that an event holds as JSON text, without what is absent; `load_event` is its inverse."""
    values = {
        "type": event.type,
        "id": event.id,
        "workspace": event.workspace.arm_id,
        "subject": event.subject,
        "time": event.time,
        "run_id": event.run_id,
        "status": event.status,
        "experiment": event.experiment,
        "model": event.model,
        "version": event.version,
        "service": event.service,
        "models": event.models or None,
        "tags": event.tags,
        "drift": event.drift,
        "cause": event.cause,
    }
    present = {name: value for name, value in values.items() if value is not None}
    return orjson.dumps(present, option=orjson.OPT_UTC_Z).decode()


def load_event(stored: Mapping[str, Any]) -> Event:
    """The event `dump_event` was given, from what its text holds. Raises KeyError or ValueError for anything else."""
    workspace = Workspace.parse(stored["workspace"])
    if workspace is None:
        raise ValueError(f"not the resource id of a workspace: {stored['workspace']!r}")
    drift, cause = stored.get("drift"), stored.get("cause")
    return Event(
        type=stored["type"],
        id=stored["id"],
        workspace=workspace,
        subject=stored["subject"],
        time=datetime.fromisoformat(stored["time"]),
        run_id=stored.get("run_id"),
        status=stored.get("status"),
        experiment=stored.get("experiment"),
        model=stored.get("model"),
        version=stored.get("version"),
        service=stored.get("service"),
        models=tuple(stored.get("models", ())),
        tags=stored.get("tags"),
        drift=None if drift is None else _load_drift(drift),
        cause=None if cause is None else Cause(cause),
    )


def _drift_line(drift: Drift) -> dict[str, Any]:
    return {
        "monitor": drift.monitor,
        "coefficient": drift.coefficient,
        "monitor_id": drift.monitor_id,
        "baseline_dataset_id": drift.baseline_dataset_id,
        "target_dataset_id": drift.target_dataset_id,
        "start": None if drift.start is None else _time_text(drift.start),
        "end": None if drift.end is None else _time_text(drift.end),
        "breaches": [
            {"metric": breach.metric, "value": breach.value, "threshold": breach.threshold, "feature": breach.feature}
            for breach in drift.breaches
        ],
    }


def _load_drift(stored: Mapping[str, Any]) -> Drift:
    return Drift(
        monitor=stored["monitor"],
        coefficient=stored["coefficient"],
        monitor_id=stored["monitor_id"],
        baseline_dataset_id=stored["baseline_dataset_id"],
        target_dataset_id=stored["target_dataset_id"],
        start=_load_time(stored["start"]),
        end=_load_time(stored["end"]),
        breaches=tuple(Breach(**breach) for breach in stored["breaches"]),
    )


def _load_time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _time_text(time: datetime) -> str:
    return time.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"
