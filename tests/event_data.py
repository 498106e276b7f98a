"""Events for tests: values, and the recorded shapes under tests/data/events."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from anew.core.events.event import Cause, Drift, Event, EventType, Workspace

DATA = Path(__file__).parent / "data" / "events"
WORKSPACE = Workspace("00000000-0000-0000-0000-000000000001", "rg1", "ws1")
OTHER_WORKSPACE = Workspace("00000000-0000-0000-0000-000000000001", "rg1", "ws2")
NOW = datetime(2026, 7, 14, 4, 0, tzinfo=UTC)


def load(name: str) -> Any:
    """The JSON of one file under tests/data/events."""
    return json.loads((DATA / name).read_text())


def drift(run_id: str = "monitor-run", time: datetime = NOW, workspace: Workspace = WORKSPACE) -> Event:
    """A v1 drift event."""
    return Event(
        EventType.DATASET_DRIFT_DETECTED,
        f"event-{run_id}",
        workspace,
        f"datadrift/d1/run/{run_id}",
        time,
        run_id=run_id,
        drift=Drift("monitor", coefficient=0.5),
        cause=Cause.DRIFT,
    )


def run_status(run_id: str, status: str, cause: Cause, time: datetime = NOW) -> Event:
    """A run that moved."""
    return Event(
        EventType.RUN_STATUS_CHANGED,
        f"event-{run_id}-{status}",
        WORKSPACE,
        f"experiments/e1/runs/{run_id}",
        time,
        run_id=run_id,
        status=status,
        cause=cause,
    )


def registered(model: str = "credit", version: str = "3") -> Event:
    """A model version that was registered."""
    return Event(
        EventType.MODEL_REGISTERED,
        f"event-{model}-{version}",
        WORKSPACE,
        f"models/{model}:{version}",
        NOW,
        model=model,
        version=version,
        tags={},
        cause=Cause.MODEL_REGISTERED,
    )


def manual(name: str = "request-1") -> Event:
    """A person's request."""
    return Event("anew.retrain.requested", name, WORKSPACE, "models/credit", NOW, model="credit", cause=Cause.MANUAL)
