"""The ledger on SQLAlchemy: SQLite, or PostgreSQL for several machines."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from anew.adapters.ledger import rows, statements
from anew.adapters.ledger import tables as t
from anew.adapters.ledger.database import Database, create_engine, upgrade
from anew.adapters.ledger.statements import insert, lease_is_over, update_inbox, upsert, waits
from anew.core.base.token_bucket import Level, TokenBucket, take
from anew.core.events.event import Cause, Event
from anew.core.retrainings.lifecycle import OPEN_RETRAINING, Retraining, RetrainingState
from anew.core.rollouts.lifecycle import Rollout, RolloutState
from anew.core.rollouts.traffic import TrafficChange
from anew.engine.base.ledger import (
    AuditRow,
    Backlog,
    DeadLetter,
    DecisionRecord,
    IgnoredCount,
    InboxEntry,
    Receipt,
    Source,
    Waiting,
)
from anew.errors import LedgerMissing, StaleWrite

T = TypeVar("T")

_IS_OPEN = t.retrainings.c.state.in_(sorted(OPEN_RETRAINING))
_RUN_COLUMNS = (t.retrainings.c.job_name, t.retrainings.c.evaluation_job, t.retrainings.c.external_run_id)
_LONGEST_POLL = timedelta(hours=1)  # a poll that is due later was set by a wrong clock


class SqlLedger:
    """Implements the Ledger port; tests/contract holds it to the port's obligations."""

    def __init__(self, engine: sa.Engine) -> None:
        self._database = Database(engine)

    @classmethod
    def open(cls, url: str, *, migrate: bool = True) -> Self:
        """Connect; with *migrate*, bring the schema up to date first. Raises LedgerUnavailable."""
        engine = create_engine(url)
        if migrate:
            upgrade(engine)
        return cls(engine)

    @classmethod
    def open_to_read(cls, url: str) -> Self:
        """The ledger as it is, or an empty one in memory where there is none: reading creates no file and no schema."""
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
        self._database.close()

    def _all(self, to_value: Callable[[sa.RowMapping], T], statement: sa.Select[Any]) -> list[T]:
        return [to_value(row) for row in self._database.read(statement)]

    def _first(self, to_value: Callable[[sa.RowMapping], T], statement: sa.Select[Any]) -> T | None:
        return next(iter(self._all(to_value, statement.limit(1))), None)

    # --- inbox --------------------------------------------------------------------------------------------

    def receive(
        self,
        events: Sequence[Event],
        source: Source,
        now: datetime,
        *,
        settled: Mapping[str, str] = {},
        ignored: Sequence[tuple[str, str]] = (),
        dead: Sequence[DeadLetter] = (),
    ) -> Receipt:
        with self._database.write() as connection:
            new = statements.keep_events(connection, events, source, now, settled)
            statements.count_ignored(connection, ignored, now)
            statements.keep_dead_letters(connection, dead)
        return Receipt(new, len(events) - new)

    def dead_letters(self, limit: int = 50, *, all: bool = False) -> list[DeadLetter]:
        letters = t.dead_letters
        wanted = sa.select(letters).order_by(letters.c.received_at.desc()).limit(limit)
        return self._all(rows.to_dead_letter, wanted if all else wanted.where(letters.c.redriven_at.is_(None)))

    def dead_letter(self, letter_id: str) -> DeadLetter | None:
        return self._first(rows.to_dead_letter, sa.select(t.dead_letters).where(t.dead_letters.c.id == letter_id))

    def mark_redriven(self, letter_ids: Sequence[str], now: datetime) -> None:
        with self._database.write() as connection:
            for some in statements.batched(letter_ids):
                these = t.dead_letters.c.id.in_(some)
                connection.execute(sa.update(t.dead_letters).where(these).values(redriven_at=now))

    def ignored_counts(self) -> list[IgnoredCount]:
        return self._all(lambda row: IgnoredCount(**row), sa.select(t.ignored))

    def lease(
        self, causes: Collection[Cause], now: datetime, lease: timedelta, limit: int | None = None
    ) -> list[InboxEntry]:
        free = (
            sa.select(t.inbox)
            .where(waits(causes), lease_is_over(t.inbox.c.leased_until, now, lease))
            .order_by(sa.nulls_first(t.inbox.c.leased_until), t.inbox.c.seq)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        with self._database.write() as connection:
            entries = [rows.to_entry(row) for row in connection.execute(free).mappings()]
            update_inbox(connection, [entry.key for entry in entries], leased_until=now + lease)
        return [replace(entry, leased_until=now + lease) for entry in entries]

    def release(self, keys: Sequence[str], tried_at: datetime | None = None) -> None:
        with self._database.write() as connection:
            update_inbox(connection, keys, leased_until=tried_at)

    def settle(self, keys: Sequence[str], outcome: str, now: datetime, subject_id: str | None = None) -> None:
        with self._database.write() as connection:
            statements.settle(connection, keys, outcome, now, subject_id)

    def unsettled(self, causes: Collection[Cause]) -> list[InboxEntry]:
        return self._all(rows.to_entry, sa.select(t.inbox).where(waits(causes)).order_by(t.inbox.c.seq))

    def unleased(self, causes: Collection[Cause], now: datetime) -> list[Waiting]:
        inbox = t.inbox.c
        alike = (
            sa.select(
                inbox.cause,
                inbox.hinted_at,
                sa.func.min(inbox.seq).label("oldest"),
                sa.func.max(inbox.seq).label("newest"),
                sa.func.max(inbox.received_at).label("received_at"),
            )
            .where(waits(causes), statements.is_unclaimed(now))
            .group_by(inbox.cause, inbox.hinted_at)
            .subquery()
        )
        with_key = sa.select(alike, inbox.key.label("newest_key")).join(t.inbox, inbox.seq == alike.c.newest)
        return self._all(rows.to_waiting, with_key.order_by(alike.c.oldest))

    def recent(self, causes: Collection[Cause], since: datetime) -> list[InboxEntry]:
        wanted = sa.select(t.inbox).where(t.inbox.c.received_at >= since, t.inbox.c.cause.in_(list(causes)))
        return self._all(rows.to_entry, wanted.order_by(t.inbox.c.seq))

    def mark_hinted(self, hinted: Sequence[Waiting], now: datetime) -> None:
        with self._database.write() as connection:
            for each in hinted:
                # Rows that another writer has locked are being leased: waiting for them could deadlock.
                these = (
                    sa.select(t.inbox.c.seq)
                    .where(waits([each.cause]), statements.is_unclaimed(now))
                    .where(t.inbox.c.hinted_at.is_not_distinct_from(each.hinted_at))
                    .where(t.inbox.c.seq.between(each.oldest, each.newest))
                    .with_for_update(skip_locked=True)
                )
                connection.execute(sa.update(t.inbox).where(t.inbox.c.seq.in_(these)).values(hinted_at=now))

    def entry(self, key_or_event_id: str) -> InboxEntry | None:
        has_id = sa.or_(t.inbox.c.key == key_or_event_id, t.inbox.c.event_id == key_or_event_id)
        return self._first(rows.to_entry, sa.select(t.inbox).where(has_id).order_by(t.inbox.c.seq))

    def known_keys(self, keys: Collection[str]) -> set[str]:
        known = (sa.select(t.inbox.c.key).where(t.inbox.c.key.in_(some)) for some in statements.batched(keys))
        return {row["key"] for statement in known for row in self._database.read(statement)}

    def entries(self, limit: int = 50, *, waiting: bool = False) -> list[InboxEntry]:
        newest = sa.select(t.inbox).order_by(t.inbox.c.seq.desc()).limit(limit)
        return self._all(rows.to_entry, newest.where(t.inbox.c.settled_at.is_(None)) if waiting else newest)

    def backlog(self) -> Backlog:
        # All causes are named because the index begins with the cause.
        waiting = sa.select(sa.func.count(), sa.func.min(t.inbox.c.received_at)).where(waits(Cause)).subquery()
        dead = sa.select(sa.func.count()).select_from(t.dead_letters).where(t.dead_letters.c.redriven_at.is_(None))
        [row] = self._database.read(sa.select(*waiting.c, dead.scalar_subquery()))
        return Backlog(*row.values())

    # --- decisions ----------------------------------------------------------------------------------------

    def record_decision(
        self, record: DecisionRecord, retraining: Retraining | None, actor: str, settles: Collection[str] | None = None
    ) -> None:
        settled = frozenset(record.covers if settles is None else settles)
        detail = {"model": record.model, "covers": list(record.covers)}
        try:
            with self._database.write() as connection:
                statements.mark_decided(connection, record, settled)
                connection.execute(sa.insert(t.decisions).values(rows.from_decision(record)))
                statements.audit(connection, record.decided_at, "decision", record.id, record.outcome, actor, detail)
                if retraining is not None:
                    connection.execute(sa.insert(t.retrainings).values(rows.from_retraining(retraining)))
                    statements.audit(
                        connection, record.decided_at, "retraining", retraining.id, retraining.state, actor,
                        {"decision": record.id, "job": retraining.job_name},
                    )  # fmt: skip
                outcome = f"decision {record.id}: {record.outcome}"
                statements.settle(connection, settled, outcome, record.decided_at, record.id)
        except IntegrityError as error:
            raise StaleWrite(f"another decision about {record.model} was recorded first") from error

    def decision(self, decision_id: str) -> DecisionRecord | None:
        return self._first(rows.to_decision, sa.select(t.decisions).where(t.decisions.c.id == decision_id))

    def decisions(
        self, model: str | None = None, limit: int = 50, until: datetime | None = None
    ) -> list[DecisionRecord]:
        wanted = statements.listed(t.decisions, t.decisions.c.decided_at, limit, None, model)
        return self._all(rows.to_decision, wanted if until is None else wanted.where(t.decisions.c.decided_at <= until))

    # --- retrainings --------------------------------------------------------------------------------------

    def retraining(self, retraining_id: str) -> Retraining | None:
        return self._first(rows.to_retraining, sa.select(t.retrainings).where(t.retrainings.c.id == retraining_id))

    def retraining_by_job(self, run: str) -> Retraining | None:
        has_run = sa.or_(*(column == run for column in _RUN_COLUMNS))
        return self._first(rows.to_retraining, sa.select(t.retrainings).where(has_run))

    def open_retrainings_by_job(self, runs: Collection[str]) -> list[Retraining]:
        found: dict[str, Retraining] = {}
        for some in statements.batched(dict.fromkeys(runs)):
            # One query for each index: neither database uses any index for an OR over the three.
            for column in _RUN_COLUMNS:
                with_run = self._all(rows.to_retraining, sa.select(t.retrainings).where(column.in_(some), _IS_OPEN))
                found |= {each.id: each for each in with_run}
        return list(found.values())

    def open_retraining_of(self, model: str) -> Retraining | None:
        return self._first(rows.to_retraining, sa.select(t.retrainings).where(t.retrainings.c.model == model, _IS_OPEN))

    def count_open_retrainings(self) -> int:
        [row] = self._database.read(sa.select(sa.func.count().label("open")).select_from(t.retrainings).where(_IS_OPEN))
        return int(row["open"])

    def due_retrainings(self, now: datetime, limit: int = 500) -> list[Retraining]:
        poll_at = t.retrainings.c.poll_at
        is_due = sa.or_(poll_at.is_(None), poll_at <= now, poll_at > now + _LONGEST_POLL)
        due = sa.select(t.retrainings).where(_IS_OPEN, is_due).order_by(poll_at.asc().nulls_first(), t.retrainings.c.id)
        return self._all(rows.to_retraining, due.limit(limit))

    def postpone(self, polls: Mapping[str, datetime]) -> None:
        if polls:
            one = sa.update(t.retrainings).where(t.retrainings.c.id == sa.bindparam("this"))
            times = [{"this": retraining_id, "then": at} for retraining_id, at in polls.items()]
            with self._database.write() as connection:
                connection.execute(one.values(poll_at=sa.bindparam("then")), times)

    def retrainings(
        self, states: Collection[RetrainingState] | None = None, model: str | None = None, limit: int = 1000
    ) -> list[Retraining]:
        newest = statements.listed(t.retrainings, t.retrainings.c.created_at, limit, states, model)
        return self._all(rows.to_retraining, newest)[::-1]

    def save_retraining(
        self, retraining: Retraining, what: str, actor: str, now: datetime, detail: Mapping[str, Any]
    ) -> Retraining:
        values = rows.from_retraining(retraining)
        try:
            with self._database.write() as connection:
                row = statements.save(connection, t.retrainings, "retraining", values, what, actor, now, detail)
        except IntegrityError as error:
            raise StaleWrite(f"another retraining of {retraining.model} is open") from error
        return rows.to_retraining(row)

    # --- rollouts, endpoints and their traffic ------------------------------------------------------------

    def add_rollout(self, rollout: Rollout, actor: str) -> bool:
        model = f"{rollout.model}:{rollout.version}"
        detail = {"model": model, "endpoint": rollout.endpoint, "reason": rollout.request_reason}
        try:
            with self._database.write() as connection:
                connection.execute(sa.insert(t.rollouts).values(rows.from_rollout(rollout)))
                statements.audit(connection, rollout.created_at, "rollout", rollout.id, rollout.state, actor, detail)
        except IntegrityError:
            return False
        return True

    def rollout(self, rollout_id: str) -> Rollout | None:
        return self._first(rows.to_rollout, sa.select(t.rollouts).where(t.rollouts.c.id == rollout_id))

    def rollouts(
        self, states: Collection[RolloutState] | None = None, model: str | None = None, limit: int = 1000
    ) -> list[Rollout]:
        newest = statements.listed(t.rollouts, t.rollouts.c.created_at, limit, states, model)
        return self._all(rows.to_rollout, newest)[::-1]

    def lease_endpoint(self, endpoint: str, holder: str, now: datetime, lease: timedelta) -> bool:
        leases = t.endpoint_leases
        held = {"holder": holder, "leased_until": now + lease}
        is_free = sa.or_(leases.c.holder == holder, lease_is_over(leases.c.leased_until, now, lease))
        with self._database.write() as connection:
            wanted = insert(connection, leases).values(endpoint=endpoint, **held)
            taken = wanted.on_conflict_do_update(index_elements=[leases.c.endpoint], set_=held, where=is_free)
            return connection.execute(taken.returning(leases.c.holder)).fetchone() is not None

    def free_endpoint(self, endpoint: str, holder: str) -> None:
        leases = t.endpoint_leases
        with self._database.write() as connection:
            connection.execute(sa.delete(leases).where(leases.c.endpoint == endpoint, leases.c.holder == holder))

    def save_rollout(
        self,
        rollout: Rollout,
        what: str,
        actor: str,
        now: datetime,
        detail: Mapping[str, Any],
        traffic: TrafficChange | None = None,
    ) -> Rollout:
        values = rows.from_rollout(rollout)
        with self._database.write() as connection:
            row = statements.save(connection, t.rollouts, "rollout", values, what, actor, now, detail)
            if traffic is not None:
                connection.execute(sa.insert(t.traffic).values(asdict(traffic)))
        return rows.to_rollout(row)

    def note_traffic(self, change: TrafficChange) -> bool:
        newest = self.traffic(change.endpoint, limit=1)
        if newest and (newest[0].shares, newest[0].mirror) == (change.shares, change.mirror):
            return False
        with self._database.write() as connection:
            connection.execute(sa.insert(t.traffic).values(asdict(change)))
        return True

    def traffic(
        self, endpoint: str | None = None, until: datetime | None = None, limit: int = 200
    ) -> list[TrafficChange]:
        newest = sa.select(t.traffic).order_by(t.traffic.c.seq.desc()).limit(limit)
        if endpoint is not None:
            newest = newest.where(t.traffic.c.endpoint == endpoint)
        if until is not None:
            newest = newest.where(t.traffic.c.at <= until)
        return self._all(rows.to_traffic, newest)[::-1]

    # --- audit trail, watermarks and quotas ---------------------------------------------------------------

    def audit(self, subject_id: str | None = None, limit: int = 200) -> list[AuditRow]:
        newest = sa.select(t.audit).order_by(t.audit.c.seq.desc()).limit(limit)
        wanted = newest if subject_id is None else newest.where(t.audit.c.subject_id == subject_id)
        return self._all(lambda row: AuditRow(**row), wanted)[::-1]

    def watermark(self, name: str) -> datetime | None:
        return self._first(lambda row: row["at"], sa.select(t.watermarks.c.at).where(t.watermarks.c.name == name))

    def set_watermark(self, name: str, at: datetime) -> None:
        with self._database.write() as connection:
            upsert(connection, t.watermarks, {"name": name, "at": at}, {"at": at})

    def take_tokens(self, bucket: str, count: float, limit: TokenBucket, now: datetime) -> timedelta:
        buckets = t.token_buckets
        is_bucket = buckets.c.name == bucket
        with self._database.write() as connection:
            # The upsert locks the row, new or not, so that two takers cannot both see the last token.
            upsert(connection, buckets, {"name": bucket, "tokens": limit.burst, "at": now}, {"name": bucket})
            held = connection.execute(sa.select(buckets).where(is_bucket)).mappings().one()
            level, wait = take(limit, Level(held["tokens"], held["at"], held["paused_until"]), count, now)
            connection.execute(sa.update(buckets).where(is_bucket).values(level._asdict()))
        return wait

    def pause_bucket(self, bucket: str, until: datetime) -> None:
        values = {"name": bucket, "tokens": 0.0, "at": until, "paused_until": until}
        with self._database.write() as connection:
            upsert(connection, t.token_buckets, values, values)
