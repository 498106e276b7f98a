"""The ledger on SQLAlchemy: SQLite, or PostgreSQL for several machines."""

from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from threading import RLock
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from anew.adapters.ledger import tables as t
from anew.adapters.ledger.database import create_engine, translated, upgrade
from anew.adapters.ledger.rows import (
    from_decision,
    from_retraining,
    from_rollout,
    json_ready,
    to_audit,
    to_decision,
    to_entry,
    to_retraining,
    to_rollout,
)
from anew.core.event_json import dump_event
from anew.core.events import Cause, Event
from anew.core.lifecycle import Retraining, RetrainingState, Rollout, RolloutState
from anew.engine.ports import (
    AuditRow,
    DecisionRecord,
    IgnoredCount,
    InboxEntry,
    Receipt,
    Source,
)
from anew.errors import LedgerMissing, StaleWrite


class SqlLedger:
    """Implements the Ledger port; its obligations are tested in tests/contract."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        # A database in memory lives in one connection, which threads must take turns on.
        self._turn = RLock() if isinstance(engine.pool, sa.StaticPool) else None

    @classmethod
    def open(cls, url: str, *, migrate: bool = True) -> Self:
        """Connect; with migrate, bring the schema up to date first. Raises LedgerUnavailable."""
        engine = create_engine(url)
        if migrate:
            upgrade(engine)
        return cls(engine)

    @classmethod
    def open_to_read(cls, url: str) -> Self:
        """The ledger as it is, or an empty one in memory where there is none: looking makes no file and no schema."""
        place = sa.make_url(url)
        if place.get_backend_name() == "sqlite" and place.database and not Path(place.database).is_file():
            return cls.in_memory()
        ledger = cls.open(url, migrate=False)
        try:
            ledger.watermark("")
        except LedgerMissing:
            return cls.in_memory()
        return ledger

    @classmethod
    def in_memory(cls) -> Self:
        """A fresh ledger that lives as long as this object."""
        return cls.open("sqlite://")

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    @contextmanager
    def _write(self, where: str) -> Generator[sa.Connection]:
        with self._in_turn(), translated(where), self._engine.begin() as connection:
            yield connection

    def _read(self, statement: sa.Select[Any], where: str) -> Sequence[sa.RowMapping]:
        with self._in_turn(), translated(where), self._engine.connect() as connection:
            plain = connection.execution_options(isolation_level="AUTOCOMMIT")
            return plain.execute(statement).mappings().fetchall()

    @contextmanager
    def _in_turn(self) -> Generator[None]:
        if self._turn is None:
            yield
            return
        with self._turn:
            yield

    # --- inbox --------------------------------------------------------------------------------------------

    def receive(self, events: Sequence[Event], source: Source, now: datetime) -> Receipt:
        new = 0
        with self._write("receive") as connection:
            for event in events:
                new += self._receive_one(connection, event, source, now)
        return Receipt(new, len(events) - new)

    def _receive_one(self, connection: sa.Connection, event: Event, source: Source, now: datetime) -> int:
        values = {
            "key": event.key,
            "event_id": event.id,
            "cause": event.cause,
            "source": source,
            "event": dump_event(event),
            "received_at": now,
            "deliveries": 1,
        }
        once_more = {"deliveries": t.inbox.c.deliveries + 1}
        deliveries = connection.execute(_upsert(connection, t.inbox, values, once_more).returning(t.inbox.c.deliveries))
        return 1 if deliveries.scalar_one() == 1 else 0

    def count_ignored(self, type: str, reason: str, now: datetime) -> None:
        values = {"type": type[:256], "reason": reason[:256], "count": 1, "last_at": now}
        once_more = {"count": t.ignored.c.count + 1, "last_at": now}
        with self._write("count ignored") as connection:
            connection.execute(_upsert(connection, t.ignored, values, once_more))

    def ignored_counts(self) -> list[IgnoredCount]:
        return [IgnoredCount(**row) for row in self._read(sa.select(t.ignored), "ignored counts")]

    def claim(self, causes: Collection[Cause], now: datetime, lease: timedelta, limit: int = 1000) -> list[InboxEntry]:
        free = (
            sa.select(t.inbox.c.seq)
            .where(t.inbox.c.settled_at.is_(None), t.inbox.c.cause.in_(list(causes)))
            .where(sa.or_(t.inbox.c.claimed_until.is_(None), t.inbox.c.claimed_until < now))
            .order_by(t.inbox.c.seq)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        with self._write("claim") as connection:
            claimed = connection.execute(
                sa.update(t.inbox).where(t.inbox.c.seq.in_(free)).values(claimed_until=now + lease).returning(t.inbox)
            )
            rows = claimed.mappings().fetchall()
        return sorted((to_entry(row) for row in rows), key=lambda entry: entry.seq)

    def release(self, keys: Sequence[str]) -> None:
        with self._write("release") as connection:
            connection.execute(sa.update(t.inbox).where(t.inbox.c.key.in_(keys)).values(claimed_until=None))

    def settle(self, keys: Sequence[str], outcome: str, now: datetime, subject_id: str | None = None) -> None:
        with self._write("settle") as connection:
            _settle(connection, keys, outcome, now, subject_id)

    def unsettled(self, causes: Collection[Cause]) -> list[InboxEntry]:
        statement = (
            sa.select(t.inbox)
            .where(t.inbox.c.settled_at.is_(None), t.inbox.c.cause.in_(list(causes)))
            .order_by(t.inbox.c.seq)
        )
        return [to_entry(row) for row in self._read(statement, "unsettled")]

    def recent(self, causes: Collection[Cause], since: datetime) -> list[InboxEntry]:
        statement = (
            sa.select(t.inbox)
            .where(t.inbox.c.received_at >= since, t.inbox.c.cause.in_(list(causes)))
            .order_by(t.inbox.c.seq)
        )
        return [to_entry(row) for row in self._read(statement, "recent")]

    def mark_hinted(self, keys: Sequence[str], now: datetime) -> None:
        with self._write("mark hinted") as connection:
            connection.execute(sa.update(t.inbox).where(t.inbox.c.key.in_(keys)).values(hinted_at=now))

    def entry(self, key_or_event_id: str) -> InboxEntry | None:
        rows = self._read(
            sa.select(t.inbox)
            .where(sa.or_(t.inbox.c.key == key_or_event_id, t.inbox.c.event_id == key_or_event_id))
            .order_by(t.inbox.c.seq)
            .limit(1),
            "entry",
        )
        return to_entry(rows[0]) if rows else None

    def entries(self, limit: int = 50) -> list[InboxEntry]:
        return [to_entry(row) for row in self._read(_newest(t.inbox, t.inbox.c.seq, limit), "entries")]

    # --- decisions ----------------------------------------------------------------------------------------

    def record_decision(
        self, record: DecisionRecord, retraining: Retraining | None, actor: str, settles: Collection[str] | None = None
    ) -> None:
        try:
            with self._write("record decision") as connection:
                connection.execute(sa.insert(t.decisions).values(from_decision(record)))
                _note(connection, record.decided_at, "decision", record.id, record.outcome, actor, {
                    "model": record.model, "covers": list(record.covers),
                })  # fmt: skip
                if retraining is not None:
                    connection.execute(sa.insert(t.retrainings).values(from_retraining(retraining)))
                    _note(connection, record.decided_at, "retraining", retraining.id, retraining.state, actor, {
                        "decision": record.id, "job": retraining.job_name,
                    })  # fmt: skip
                outcome = f"decision {record.id}: {record.outcome}"
                settled = record.covers if settles is None else list(settles)
                _settle(connection, settled, outcome, record.decided_at, record.id)
        except IntegrityError as error:
            raise StaleWrite(f"another decision about {record.model} was recorded first") from error

    def decision(self, decision_id: str) -> DecisionRecord | None:
        rows = self._read(sa.select(t.decisions).where(t.decisions.c.id == decision_id), "decision")
        return to_decision(rows[0]) if rows else None

    def decisions(
        self, model: str | None = None, limit: int = 50, until: datetime | None = None
    ) -> list[DecisionRecord]:
        statement = sa.select(t.decisions).order_by(t.decisions.c.decided_at.desc()).limit(limit)
        if until is not None:
            statement = statement.where(t.decisions.c.decided_at <= until)
        if model is not None:
            statement = statement.where(t.decisions.c.model == model)
        return [to_decision(row) for row in self._read(statement, "decisions")]

    # --- retrainings --------------------------------------------------------------------------------------

    def retraining(self, retraining_id: str) -> Retraining | None:
        rows = self._read(sa.select(t.retrainings).where(t.retrainings.c.id == retraining_id), "retraining")
        return to_retraining(rows[0]) if rows else None

    def retraining_by_job(self, run: str) -> Retraining | None:
        rows = t.retrainings
        ours = sa.or_(rows.c.job_name == run, rows.c.evaluation_job == run, rows.c.external_run_id == run)
        found = self._read(sa.select(rows).where(ours), "retraining by job")
        return to_retraining(found[0]) if found else None

    def retrainings(
        self, states: Collection[RetrainingState] | None = None, model: str | None = None, limit: int = 1000
    ) -> list[Retraining]:
        statement = _filtered(t.retrainings, states, model, limit)
        return [to_retraining(row) for row in reversed(self._read(statement, "retrainings"))]

    def save_retraining(
        self,
        retraining: Retraining,
        what: str,
        actor: str,
        now: datetime,
        detail: Mapping[str, Any],
    ) -> Retraining:
        values = from_retraining(retraining)
        rows = self._save(t.retrainings, "retraining", values, what, actor, now, detail)
        return to_retraining(rows)

    # --- rollouts -----------------------------------------------------------------------------------------

    def add_rollout(self, rollout: Rollout, actor: str) -> bool:
        try:
            with self._write("add rollout") as connection:
                connection.execute(sa.insert(t.rollouts).values(from_rollout(rollout)))
                _note(connection, rollout.created_at, "rollout", rollout.id, rollout.state, actor, {
                    "model": f"{rollout.model}:{rollout.version}", "endpoint": rollout.endpoint,
                })  # fmt: skip
        except IntegrityError:
            return False
        return True

    def rollout(self, rollout_id: str) -> Rollout | None:
        rows = self._read(sa.select(t.rollouts).where(t.rollouts.c.id == rollout_id), "rollout")
        return to_rollout(rows[0]) if rows else None

    def rollouts(
        self, states: Collection[RolloutState] | None = None, model: str | None = None, limit: int = 1000
    ) -> list[Rollout]:
        rows = self._read(_filtered(t.rollouts, states, model, limit), "rollouts")
        return [to_rollout(row) for row in reversed(rows)]

    def lease_rollout(self, rollout: Rollout, now: datetime, lease: timedelta) -> bool:
        rows = t.rollouts
        with self._write("lease rollout") as connection:
            taken = connection.execute(
                sa.update(rows)
                .where(rows.c.id == rollout.id, rows.c.revision == rollout.revision)
                .where(sa.or_(rows.c.leased_until.is_(None), rows.c.leased_until < now))
                .values(leased_until=now + lease)
            )
            return taken.rowcount == 1

    def free_rollout(self, rollout: Rollout) -> None:
        this = (t.rollouts.c.id == rollout.id) & (t.rollouts.c.revision == rollout.revision)
        with self._write("free rollout") as connection:
            connection.execute(sa.update(t.rollouts).where(this).values(leased_until=None))

    def save_rollout(
        self, rollout: Rollout, what: str, actor: str, now: datetime, detail: Mapping[str, Any]
    ) -> Rollout:
        return to_rollout(self._save(t.rollouts, "rollout", from_rollout(rollout), what, actor, now, detail))

    # --- shared -------------------------------------------------------------------------------------------

    def _save(
        self,
        table: sa.Table,
        subject: str,
        values: dict[str, Any],
        what: str,
        actor: str,
        now: datetime,
        detail: Mapping[str, Any],
    ) -> sa.RowMapping:
        changes = {**values, "revision": values["revision"] + 1}
        if "leased_until" in table.c:
            changes["leased_until"] = None
        with self._write(f"save {subject}") as connection:
            saved = connection.execute(
                sa.update(table)
                .where(table.c.id == values["id"], table.c.revision == values["revision"])
                .values(changes)
                .returning(table)
            )
            row = saved.mappings().fetchone()
            if row is None:
                raise StaleWrite(f"{subject} {values['id']} was moved by somebody else first")
            _note(connection, now, subject, values["id"], what, actor, {**detail, "state": values["state"]})
            return row

    def audit(self, subject_id: str | None = None, limit: int = 200) -> list[AuditRow]:
        statement = _newest(t.audit, t.audit.c.seq, limit)
        if subject_id is not None:
            statement = statement.where(t.audit.c.subject_id == subject_id)
        return [to_audit(row) for row in reversed(self._read(statement, "audit"))]

    def watermark(self, name: str) -> datetime | None:
        rows = self._read(sa.select(t.watermarks.c.at).where(t.watermarks.c.name == name), "watermark")
        return rows[0]["at"] if rows else None

    def set_watermark(self, name: str, at: datetime) -> None:
        with self._write("set watermark") as connection:
            connection.execute(_upsert(connection, t.watermarks, {"name": name, "at": at}, {"at": at}))


def _upsert(connection: sa.Connection, table: sa.Table, values: dict[str, Any], otherwise: dict[str, Any]) -> Any:
    """Insert, or on a known key update, in one statement: looking first would let two writers both insert."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    unique = [table.c.key] if "key" in table.c else list(table.primary_key)
    return dialect.insert(table).values(values).on_conflict_do_update(index_elements=unique, set_=otherwise)


def _settle(
    connection: sa.Connection, keys: Sequence[str], outcome: str, now: datetime, subject_id: str | None
) -> None:
    connection.execute(
        sa.update(t.inbox)
        .where(t.inbox.c.key.in_(keys), t.inbox.c.settled_at.is_(None))
        .values(settled_at=now, outcome=outcome, subject_id=subject_id, claimed_until=None)
    )


def _note(
    connection: sa.Connection,
    at: datetime,
    subject: str,
    subject_id: str,
    what: str,
    actor: str,
    detail: Mapping[str, Any],
) -> None:
    connection.execute(
        sa.insert(t.audit).values(
            at=at, subject=subject, subject_id=subject_id, what=what, actor=actor, detail=json_ready(detail)
        )
    )


def _newest(table: sa.Table, order: sa.Column[Any], limit: int) -> sa.Select[Any]:
    return sa.select(table).order_by(order.desc()).limit(limit)


def _filtered(table: sa.Table, states: Collection[str] | None, model: str | None, limit: int) -> sa.Select[Any]:
    statement = sa.select(table).order_by(table.c.created_at.desc(), table.c.id.desc()).limit(limit)
    if states is not None:
        statement = statement.where(table.c.state.in_(list(states)))
    if model is not None:
        statement = statement.where(table.c.model == model)
    return statement
