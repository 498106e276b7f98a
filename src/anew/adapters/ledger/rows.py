"""Rows to values and back."""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

import sqlalchemy as sa

from anew.core.events.event import Cause, Event
from anew.core.events.serialization import dump_event, load_event
from anew.core.gate import gate_result_of
from anew.core.retrainings.lifecycle import ApprovalDecision, Retraining, RetrainingState, StopCause
from anew.core.rollouts.lifecycle import Rollout, RolloutKind, RolloutState
from anew.core.rollouts.traffic import Share, TrafficChange
from anew.engine.base.ledger import DeadLetter, DecisionRecord, InboxEntry, Source, Waiting

_RETRAINING = tuple(field.name for field in fields(Retraining))
_ROLLOUT = tuple(field.name for field in fields(Rollout))
_TRAFFIC = tuple(field.name for field in fields(TrafficChange))


def to_entry(record: sa.RowMapping) -> InboxEntry:
    """An inbox row as a value."""
    return InboxEntry(
        seq=record["seq"],
        key=record["key"],
        event=load_event(record["event"]),
        cause=Cause(record["cause"]),
        source=Source(record["source"]),
        received_at=record["received_at"],
        deliveries=record["deliveries"],
        leased_until=record["leased_until"],
        hinted_at=record["hinted_at"],
        decided_for=tuple(record["decided_for"] or ()),
        settled_at=record["settled_at"],
        outcome=record["outcome"],
        subject_id=record["subject_id"],
    )


def to_waiting(record: sa.RowMapping) -> Waiting:
    """A row of what waits as a value."""
    return Waiting(
        cause=Cause(record["cause"]),
        hinted_at=record["hinted_at"],
        oldest=record["oldest"],
        newest=record["newest"],
        newest_key=record["newest_key"],
        received_at=record["received_at"],
    )


def to_dead_letter(record: sa.RowMapping) -> DeadLetter:
    """A dead letter's row as a value."""
    values: dict[str, Any] = {**record, "source": Source(record["source"])}
    return DeadLetter(**values)


def to_decision(record: sa.RowMapping) -> DecisionRecord:
    """A decisions row as a value."""
    values: dict[str, Any] = {**record, "covers": tuple(record["covers"])}
    return DecisionRecord(**values)


def from_decision(record: DecisionRecord) -> dict[str, Any]:
    """A decision as column values."""
    return {**asdict(record), "covers": list(record.covers)}


def to_retraining(record: sa.RowMapping) -> Retraining:
    """A retrainings row as a value."""
    values: dict[str, Any] = {name: record[name] for name in _RETRAINING}
    values["state"] = RetrainingState(values["state"])
    values["stopped_for"] = StopCause(values["stopped_for"]) if values["stopped_for"] else None
    values["approval"] = ApprovalDecision(values["approval"]) if values["approval"] else None
    if (gate := values["gate"]) is not None:
        values["gate"] = gate_result_of(gate)
    return Retraining(**values)


def from_retraining(retraining: Retraining) -> dict[str, Any]:
    """A retraining as column values."""
    values = {name: getattr(retraining, name) for name in _RETRAINING}
    return {**values, "gate": asdict(retraining.gate) if retraining.gate else None}


def to_rollout(record: sa.RowMapping) -> Rollout:
    """A rollouts row as a value."""
    values: dict[str, Any] = {name: record[name] for name in _ROLLOUT}
    values["state"], values["kind"] = RolloutState(values["state"]), RolloutKind(values["kind"])
    return Rollout(**values)


def from_rollout(rollout: Rollout) -> dict[str, Any]:
    """A rollout as column values."""
    return {name: getattr(rollout, name) for name in _ROLLOUT}


def to_traffic(record: sa.RowMapping) -> TrafficChange:
    """A traffic row as a value."""
    values: dict[str, Any] = {name: record[name] for name in _TRAFFIC}
    values |= {name: tuple(Share(**share) for share in values[name]) for name in ("shares", "mirror")}
    return TrafficChange(**values)


def json_ready(detail: Mapping[str, Any]) -> dict[str, Any]:
    """Detail of an audit row with everything JSON cannot hold turned into text."""
    return {
        name: value if isinstance(value, str | int | float | bool | dict | list | None) else str(value)
        for name, value in detail.items()
    }


def to_json(value: Any) -> str:
    """The text of a JSON column's value, which may be an event."""
    return dump_event(value) if isinstance(value, Event) else json.dumps(value)
