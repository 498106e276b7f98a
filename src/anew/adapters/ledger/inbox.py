"""The inbox: events, and those knowingly ignored."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import sqlalchemy as sa

from anew.adapters.ledger import tables as t
from anew.adapters.ledger.receiving import keep_dead_letters, keep_events
from anew.adapters.ledger.rows import to_dead_letter, to_entry, to_waiting
from anew.adapters.ledger.store import Store, among, batched, lease_is_over, newest, settle, update_inbox, upsert
from anew.core.events.event import Cause, Event
from anew.engine.base.ledger import Backlog, DeadLetter, IgnoredCount, InboxEntry, Receipt, Source, Waiting


def _waits(causes: Collection[Cause]) -> sa.ColumnElement[bool]:
    return sa.and_(t.inbox.c.settled_at.is_(None), t.inbox.c.cause.in_(list(causes)))


def _is_unclaimed(now: datetime) -> sa.ColumnElement[bool]:
    return sa.or_(t.inbox.c.leased_until.is_(None), t.inbox.c.leased_until <= now)


class Inbox(Store):
    """The part of the ledger that keeps events."""

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
        with self._write("receive") as connection:
            new = keep_events(connection, events, source, now, settled)
            for (type_, reason), count in sorted(Counter(ignored).items()):
                self._count_ignored(connection, type_, reason, count, now)
            keep_dead_letters(connection, dead)
        return Receipt(new, len(events) - new)

    def _count_ignored(self, connection: sa.Connection, type: str, reason: str, count: int, now: datetime) -> None:
        values = {"type": type[:256], "reason": reason[:256], "count": count, "last_at": now}
        once_more = {"count": t.ignored.c.count + count, "last_at": now}
        connection.execute(upsert(connection, t.ignored, values, once_more))

    def dead_letters(self, limit: int = 50, *, all: bool = False) -> list[DeadLetter]:
        statement = newest(t.dead_letters, t.dead_letters.c.received_at, limit)
        if not all:
            statement = statement.where(t.dead_letters.c.redriven_at.is_(None))
        return [to_dead_letter(row) for row in self._read(statement, "dead letters")]

    def dead_letter(self, letter_id: str) -> DeadLetter | None:
        rows = self._read(sa.select(t.dead_letters).where(t.dead_letters.c.id == letter_id), "dead letter")
        return to_dead_letter(rows[0]) if rows else None

    def mark_redriven(self, letter_ids: Sequence[str], now: datetime) -> None:
        these = among(t.dead_letters.c.id, letter_ids)
        with self._write("mark redriven") as connection:
            connection.execute(sa.update(t.dead_letters).where(these).values(redriven_at=now))

    def ignored_counts(self) -> list[IgnoredCount]:
        return [IgnoredCount(**row) for row in self._read(sa.select(t.ignored), "ignored counts")]

    def lease(
        self, causes: Collection[Cause], now: datetime, lease: timedelta, limit: int | None = None
    ) -> list[InboxEntry]:
        free = (
            sa.select(t.inbox)
            .where(_waits(causes))
            .where(lease_is_over(t.inbox.c.leased_until, now, lease))
            .order_by(sa.nulls_first(t.inbox.c.leased_until), t.inbox.c.seq)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        until = now + lease
        with self._write("claim") as connection:
            rows = connection.execute(free).mappings().fetchall()
            update_inbox(connection, [row["key"] for row in rows], leased_until=until)
        return [replace(to_entry(row), leased_until=until) for row in rows]

    def release(self, keys: Sequence[str], tried_at: datetime | None = None) -> None:
        with self._write("release") as connection:
            update_inbox(connection, keys, leased_until=tried_at)

    def settle(self, keys: Sequence[str], outcome: str, now: datetime, subject_id: str | None = None) -> None:
        with self._write("settle") as connection:
            settle(connection, keys, outcome, now, subject_id)

    def unsettled(self, causes: Collection[Cause]) -> list[InboxEntry]:
        statement = sa.select(t.inbox).where(_waits(causes)).order_by(t.inbox.c.seq)
        return [to_entry(row) for row in self._read(statement, "unsettled")]

    def unleased(self, causes: Collection[Cause], now: datetime) -> list[Waiting]:
        alike = (
            sa.select(
                t.inbox.c.cause,
                t.inbox.c.hinted_at,
                sa.func.min(t.inbox.c.seq).label("oldest"),
                sa.func.max(t.inbox.c.seq).label("newest"),
                sa.func.max(t.inbox.c.received_at).label("received_at"),
            )
            .where(_waits(causes), _is_unclaimed(now))
            .group_by(t.inbox.c.cause, t.inbox.c.hinted_at)
            .subquery()
        )
        statement = (
            sa.select(alike, t.inbox.c.key.label("newest_key"))
            .join(t.inbox, t.inbox.c.seq == alike.c.newest)
            .order_by(alike.c.oldest)
        )
        return [to_waiting(row) for row in self._read(statement, "unleased")]

    def mark_hinted(self, hinted: Sequence[Waiting], now: datetime) -> None:
        with self._write("mark hinted") as connection:
            for each in hinted:
                # Whoever has locked one of them just now takes it: to wait for that could be to wait for each other.
                these = (
                    sa.select(t.inbox.c.seq)
                    .where(_waits([each.cause]), _is_unclaimed(now))
                    .where(t.inbox.c.hinted_at.is_not_distinct_from(each.hinted_at))
                    .where(t.inbox.c.seq.between(each.oldest, each.newest))
                    .with_for_update(skip_locked=True)
                )
                connection.execute(sa.update(t.inbox).where(t.inbox.c.seq.in_(these)).values(hinted_at=now))

    def recent(self, causes: Collection[Cause], since: datetime) -> list[InboxEntry]:
        statement = (
            sa.select(t.inbox)
            .where(t.inbox.c.received_at >= since, t.inbox.c.cause.in_(list(causes)))
            .order_by(t.inbox.c.seq)
        )
        return [to_entry(row) for row in self._read(statement, "recent")]

    def entry(self, key_or_event_id: str) -> InboxEntry | None:
        rows = self._read(
            sa.select(t.inbox)
            .where(sa.or_(t.inbox.c.key == key_or_event_id, t.inbox.c.event_id == key_or_event_id))
            .order_by(t.inbox.c.seq)
            .limit(1),
            "entry",
        )
        return to_entry(rows[0]) if rows else None

    def known_keys(self, keys: Collection[str]) -> set[str]:
        known: set[str] = set()
        for some in batched(keys):
            known |= {
                row["key"] for row in self._read(sa.select(t.inbox.c.key).where(among(t.inbox.c.key, some)), "known")
            }
        return known

    def entries(self, limit: int = 50, *, waiting: bool = False) -> list[InboxEntry]:
        statement = newest(t.inbox, t.inbox.c.seq, limit)
        if waiting:
            statement = statement.where(t.inbox.c.settled_at.is_(None))
        return [to_entry(row) for row in self._read(statement, "entries")]

    def backlog(self) -> Backlog:
        # Naming the causes lets the index be used, which begins with them.
        waits = sa.and_(t.inbox.c.cause.in_(list(Cause)), t.inbox.c.settled_at.is_(None))
        waiting = sa.select(sa.func.count(), sa.func.min(t.inbox.c.received_at)).where(waits).subquery()
        dead = sa.select(sa.func.count()).select_from(t.dead_letters).where(t.dead_letters.c.redriven_at.is_(None))
        [row] = self._read(sa.select(*waiting.c, dead.scalar_subquery()), "backlog")
        return Backlog(*row.values())
