"""Events for tests: values, and the recorded shapes under tests/data/events."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from anew.core.events.event import Cause, Drift, Event, EventType, Parsed, Workspace
from anew.core.events.parsing import parse_event

DATA = Path(__file__).parent / "data" / "events"
WORKSPACE = Workspace("00000000-0000-0000-0000-000000000001", "rg1", "ws1")
OTHER_WORKSPACE = Workspace("00000000-0000-0000-0000-000000000001", "rg1", "ws2")
NOW = datetime(2026, 7, 14, 4, 0, tzinfo=UTC)


def load(name: str) -> Any:
    """The JSON of one file under tests/data/events."""
    return json.loads((DATA / name).read_text())


def raw_specimens() -> list[dict[str, Any]]:
    """The JSON of every recorded event."""
    found = (load(path.name) for path in sorted(DATA.glob("*.json")))
    return [raw[0] if isinstance(raw, list) else raw for raw in found]


def specimens() -> list[Parsed]:
    """Every recorded event as it is read."""
    return [parse_event(raw) for raw in raw_specimens()]


def causes_by_type() -> dict[EventType, set[Cause]]:
    """The causes that an event of each type can have: those of every recorded event, were it of that type."""
    causes: dict[EventType, set[Cause]] = {kind: set() for kind in EventType}
    for raw in raw_specimens():
        for kind in EventType:
            parsed = parse_event(raw | {"type" if "type" in raw else "eventType": kind})
            if isinstance(parsed, Event) and parsed.cause is not None:
                causes[kind].add(parsed.cause)
    return causes


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
