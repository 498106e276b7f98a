"""Events as JSON values: one line for people and programs, and a lossless form for the ledger."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec.structs import asdict

from anew.core.events.event import Drift, Event


def event_line(event: Event) -> dict[str, Any]:
    """The public form of an event, as `anew` prints and passes it on; missing parts are null.

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
    """The whole event as JSON text, without its missing parts; `load_event` is the inverse."""
    return msgspec.json.encode(event).decode()


def load_event(stored: Mapping[str, Any]) -> Event:
    """The event, from the JSON value that `dump_event` wrote. Raises ValueError for anything else."""
    return msgspec.convert(stored, Event)


def _drift_line(drift: Drift) -> dict[str, Any]:
    return asdict(drift) | {
        "start": None if drift.start is None else _time_text(drift.start),
        "end": None if drift.end is None else _time_text(drift.end),
        "breaches": [asdict(breach) for breach in drift.breaches],
    }


def _time_text(time: datetime) -> str:
    return time.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"
