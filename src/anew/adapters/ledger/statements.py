"""Statements that several methods of the ledger share. Each runs in the transaction of the connection it is given."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from anew.adapters.ledger import tables as t
from anew.adapters.ledger.rows import json_ready
from anew.core.events.event import Cause, Event
from anew.engine.base.ledger import DeadLetter, DecisionRecord, Source
from anew.errors import StaleWrite

_AT_ONCE = 500  # values of an IN list: old builds of SQLite take at most 999 variables in a statement


def insert(connection: sa.Connection, table: sa.Table) -> Any:
    """An INSERT that may say ON CONFLICT: each dialect has its own class for it."""
    return (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)


def upsert(connection: sa.Connection, table: sa.Table, values: dict[str, Any], otherwise: dict[str, Any]) -> None:
    """Insert a row, or update the one with its primary key, in one statement: two writers could both look, find no row
    and insert.
    """
    statement = insert(connection, table).values(values)
    connection.execute(statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=otherwise))


def batched(items: Iterable[str]) -> Iterator[list[str]]:
    """The items in lists that fit into one statement (itertools.batched comes with Python 3.12)."""
    rest = iter(items)
    while some := list(islice(rest, _AT_ONCE)):
        yield some


def lease_is_over(until: sa.Column[Any], now: datetime, lease: timedelta) -> sa.ColumnElement[bool]:
    """Whether a lease has run out, or was given by a clock that has been set back since: the clocks of several machines
    never differ by as much as a lease.
    """
    return sa.or_(until.is_(None), until <= now, until > now + 2 * lease)


# --- inbox ------------------------------------------------------------------------------------------------


def waits(causes: Collection[Cause]) -> sa.ColumnElement[bool]:
    """Whether an entry of one of these causes is not settled yet. The index begins with the cause."""
    return sa.and_(t.inbox.c.settled_at.is_(None), t.inbox.c.cause.in_(list(causes)))


def is_unclaimed(now: datetime) -> sa.ColumnElement[bool]:
    """Whether no lease of the entry is running."""
    return sa.or_(t.inbox.c.leased_until.is_(None), t.inbox.c.leased_until <= now)


def keep_events(
    connection: sa.Connection, events: Sequence[Event], source: Source, now: datetime, settled: Mapping[str, str]
) -> int:
    """Insert events, or raise the deliveries of known ones, and return how many were new. *settled* maps keys to
    outcomes.
    """
    if not events:
        return 0
    deliveries = Counter(event.key for event in events)
    first = {event.key: event for event in reversed(events)}
    rows = [
        {
            "key": key,
            "event_id": event.id,
            "cause": str(event.cause),
            "source": str(source),
            "event": event,
            "received_at": now,
            "deliveries": deliveries[key],
            "settled_at": now if key in settled else None,
            "outcome": settled.get(key),
        }
        # All writers use one order: two webhooks that lock the same rows in different orders would deadlock.
        for key, event in sorted(first.items())
    ]
    statement = insert(connection, t.inbox)
    known, new = t.inbox.c, statement.excluded
    changes = {
        "deliveries": known.deliveries + new.deliveries,
        "settled_at": sa.func.coalesce(known.settled_at, new.settled_at),
        "outcome": sa.func.coalesce(known.outcome, new.outcome),
    }
    upserted = statement.on_conflict_do_update(index_elements=[known.key], set_=changes)
    kept = connection.execute(upserted.returning(known.key, known.deliveries), rows)
    return sum(count == deliveries[key] for key, count in kept.tuples())


def keep_dead_letters(connection: sa.Connection, letters: Sequence[DeadLetter]) -> None:
    """Insert dead letters, or raise the deliveries of known ones."""
    if not letters:
        return
    statement = insert(connection, t.dead_letters)
    once_more = {
        "deliveries": t.dead_letters.c.deliveries + 1,
        "reason": statement.excluded.reason,
        "redriven_at": None,
    }
    connection.execute(
        statement.on_conflict_do_update(index_elements=[t.dead_letters.c.id], set_=once_more),
        [asdict(letter) for letter in sorted(letters, key=lambda letter: letter.id)],
    )


def count_ignored(connection: sa.Connection, ignored: Iterable[tuple[str, str]], now: datetime) -> None:
    """Raise the counts of these types and reasons."""
    for (type_, reason), count in sorted(Counter(ignored).items()):
        values = {"type": type_[:256], "reason": reason[:256], "count": count, "last_at": now}
        upsert(connection, t.ignored, values, {"count": t.ignored.c.count + count, "last_at": now})


def lock(connection: sa.Connection, keys: Collection[str]) -> list[sa.RowMapping]:
    """Rows of the inbox, which stay as they are until the transaction ends.

    PostgreSQL locks them in the order of their keys, as every writer does, so that no two writers deadlock; Python's
    order is that of its collation "C". SQLite's transaction already holds its only lock.
    """
    rows = sa.select(t.inbox.c.key, t.inbox.c.settled_at, t.inbox.c.decided_for)
    if connection.dialect.name == "postgresql":
        rows = rows.order_by(sa.collate(t.inbox.c.key, "C")).with_for_update()
    return [
        row
        for some in batched(sorted(keys))
        for row in connection.execute(rows.where(t.inbox.c.key.in_(some))).mappings()
    ]


def update_inbox(
    connection: sa.Connection, keys: Collection[str], *conditions: sa.ColumnElement[bool], **values: Any
) -> None:
    """Change these rows of the inbox, as far as they meet the conditions."""
    if connection.dialect.name == "postgresql":
        lock(connection, keys)
    for some in batched(sorted(keys)):
        connection.execute(sa.update(t.inbox).where(t.inbox.c.key.in_(some), *conditions).values(values))


def settle(
    connection: sa.Connection, keys: Collection[str], outcome: str, now: datetime, subject_id: str | None
) -> None:
    """Settle those of these entries that are not settled yet."""
    values = {"settled_at": now, "outcome": outcome, "subject_id": subject_id, "leased_until": None}
    update_inbox(connection, keys, t.inbox.c.settled_at.is_(None), **values)


def mark_decided(connection: sa.Connection, record: DecisionRecord, settles: Collection[str]) -> None:
    """Add the decision's model to the entries that it covers and that stay open. Raises StaleWrite if one of those it
    covers is settled, or decided for this model.
    """
    open_keys: dict[tuple[str, ...], list[str]] = {}
    for row in lock(connection, record.covers):
        decided_for = tuple[str, ...](row["decided_for"] or ())
        if row["settled_at"] is not None or record.model in decided_for:
            raise StaleWrite(f"another writer settled an entry that decision {record.id} covers first")
        if row["key"] not in settles:
            open_keys.setdefault(decided_for, []).append(row["key"])
    for decided_for, keys in open_keys.items():
        update_inbox(connection, keys, decided_for=[*decided_for, record.model])


# --- retrainings and rollouts -----------------------------------------------------------------------------


def listed(
    table: sa.Table, order: sa.Column[Any], limit: int, states: Collection[str] | None, model: str | None
) -> sa.Select[Any]:
    """Rows of these states and of this model; None is all of them. The newest come first."""
    statement = sa.select(table).order_by(order.desc(), table.c.id.desc()).limit(limit)
    if states is not None:
        statement = statement.where(table.c.state.in_(list(states)))
    return statement if model is None else statement.where(table.c.model == model)


def save(
    connection: sa.Connection,
    table: sa.Table,
    subject: str,
    values: dict[str, Any],
    what: str,
    actor: str,
    now: datetime,
    detail: Mapping[str, Any],
) -> sa.RowMapping:
    """Write the row by compare-and-set on its revision, and its audit row. Raises StaleWrite."""
    changes = {**values, "revision": values["revision"] + 1} | ({"poll_at": None} if "poll_at" in table.c else {})
    is_unchanged = sa.and_(table.c.id == values["id"], table.c.revision == values["revision"])
    saved = connection.execute(sa.update(table).where(is_unchanged).values(changes).returning(table))
    row = saved.mappings().fetchone()
    if row is None:
        raise StaleWrite(f"another writer changed {subject} {values['id']} first")
    audit(connection, now, subject, values["id"], what, actor, {**detail, "state": values["state"]})
    return row


def audit(
    connection: sa.Connection,
    at: datetime,
    subject: str,
    subject_id: str,
    what: str,
    actor: str,
    detail: Mapping[str, Any],
) -> None:
    """Add a row to the audit trail."""
    row = {"at": at, "subject": subject, "subject_id": subject_id, "what": what, "actor": actor}
    connection.execute(sa.insert(t.audit).values(**row, detail=json_ready(detail)))
