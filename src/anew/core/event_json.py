"""Events as JSON values: one line for people and programs, and a lossless form for the ledger."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

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


def dump_event(event: Event) -> dict[str, Any]:
    """Everything an event holds as a JSON value; `load_event` is its inverse."""
    return event_line(event) | {
        "status": event.status,
        "experiment": event.experiment,
        "service": event.service,
        "models": list(event.models),
        "cause": event.cause,
    }


def load_event(stored: Mapping[str, Any]) -> Event:
    """The event `dump_event` was given. Raises KeyError or ValueError for anything else."""
    workspace = Workspace.parse(stored["workspace"])
    if workspace is None:
        raise ValueError(f"not the resource id of a workspace: {stored['workspace']!r}")
    return Event(
        type=stored["type"],
        id=stored["id"],
        workspace=workspace,
        subject=stored["subject"],
        time=datetime.fromisoformat(stored["time"]),
        run_id=stored["run_id"],
        status=stored["status"],
        experiment=stored["experiment"],
        model=stored["model"],
        version=stored["version"],
        service=stored["service"],
        models=tuple(stored["models"]),
        tags=stored["tags"],
        drift=None if stored["drift"] is None else _load_drift(stored["drift"]),
        cause=None if stored["cause"] is None else Cause(stored["cause"]),
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
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")
