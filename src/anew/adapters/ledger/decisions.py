"""Decisions, each recorded with the retraining it starts."""

from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from anew.adapters.ledger import tables as t
from anew.adapters.ledger.rows import from_decision, from_retraining, to_decision
from anew.adapters.ledger.store import Store, locked, note, settle, update_inbox
from anew.core.retrainings.lifecycle import Retraining
from anew.engine.base.ledger import DecisionRecord
from anew.errors import StaleWrite


class Decisions(Store):
    """The part of the ledger that keeps decisions."""

    def record_decision(
        self, record: DecisionRecord, retraining: Retraining | None, actor: str, settles: Collection[str] | None = None
    ) -> None:
        try:
            with self._write("record decision") as connection:
                settled = record.covers if settles is None else settles
                _note_decided(connection, record, frozenset(settled))
                connection.execute(sa.insert(t.decisions).values(from_decision(record)))
                note(connection, record.decided_at, "decision", record.id, record.outcome, actor, {
                    "model": record.model, "covers": list(record.covers),
                })  # fmt: skip
                if retraining is not None:
                    connection.execute(sa.insert(t.retrainings).values(from_retraining(retraining)))
                    note(connection, record.decided_at, "retraining", retraining.id, retraining.state, actor, {
                        "decision": record.id, "job": retraining.job_name,
                    })  # fmt: skip
                outcome = f"decision {record.id}: {record.outcome}"
                settle(connection, settled, outcome, record.decided_at, record.id)
        except IntegrityError as error:
            raise StaleWrite(f"another decision about {record.model} was recorded first") from error

    def decision(self, decision_id: str) -> DecisionRecord | None:
        rows = self._read(sa.select(t.decisions).where(t.decisions.c.id == decision_id), "decision")
        return to_decision(rows[0]) if rows else None

    def decisions(
        self, model: str | None = None, limit: int = 50, until: datetime | None = None
    ) -> list[DecisionRecord]:
        statement = (
            sa.select(t.decisions).order_by(t.decisions.c.decided_at.desc(), t.decisions.c.id.desc()).limit(limit)
        )
        if until is not None:
            statement = statement.where(t.decisions.c.decided_at <= until)
        if model is not None:
            statement = statement.where(t.decisions.c.model == model)
        return [to_decision(row) for row in self._read(statement, "decisions")]


def _note_decided(connection: sa.Connection, record: DecisionRecord, settled: frozenset[str]) -> None:
    """Note at each entry that stays open for whom it is decided. Raises StaleWrite if one was answered before."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for row in locked(connection, record.covers):
        decided_for = tuple[str, ...](row["decided_for"] or ())
        if row["settled_at"] is not None or record.model in decided_for:
            raise StaleWrite(f"what decision {record.id} covers was answered by somebody else first")
        if row["key"] not in settled:
            alike.setdefault(decided_for, []).append(row["key"])
    for decided_for, keys in alike.items():
        update_inbox(connection, keys, decided_for=[*decided_for, record.model])
