"""Keeping many events in few statements, each of many rows.

That costs what the driver's own `executemany` does, a third of what SQLAlchemy's takes, and it needs Python's lock
between two statements, not between two rows, so that a thread which parses does not make a thread which writes wait for
each row.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from functools import cache
from itertools import chain
from typing import Any

import sqlalchemy as sa

from anew.adapters.ledger import tables as t
from anew.adapters.ledger.store import insert
from anew.core.events.event import Event
from anew.core.events.serialization import dump_event
from anew.engine.base.ledger import DeadLetter, Source

_COLUMNS = ("key", "event_id", "cause", "source", "event", "received_at", "deliveries", "settled_at", "outcome")
_SIZES = (1250, 250, 50, 10, 1)  # rows in one statement: few sizes, so that each is prepared once


def keep_events(
    connection: sa.Connection, events: Sequence[Event], source: Source, now: datetime, settled: Mapping[str, str]
) -> int:
    """Insert events, or count those known once more; how many were new. *settled* is outcomes by key."""
    keys = [event.key for event in events]
    counts = Counter(keys)
    first = dict(zip(reversed(keys), reversed(events), strict=True))
    at = _bound(connection, now)
    rows = [
        (
            key,
            event.id,
            str(event.cause),
            str(source),
            dump_event(event),
            at,
            counts[key],
            at if key in settled else None,
            settled.get(key),
        )
        # In one order for all: two webhooks that lock the same rows in different orders would wait for each other.
        for key, event in sorted(first.items())
    ]
    if connection.dialect.name == "sqlite":
        return _insert_alone(connection, rows)
    return sum(deliveries == counts[key] for key, deliveries in _insert_returning(connection, rows))


def keep_dead_letters(connection: sa.Connection, letters: Sequence[DeadLetter]) -> None:
    """Insert dead letters, or count those known once more."""
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


def _bound(connection: sa.Connection, now: datetime) -> Any:
    """The time as the driver wants it in a column of times."""
    process = t.inbox.c.received_at.type.dialect_impl(connection.dialect).bind_processor(connection.dialect)
    return process(now) if process else now


def _insert_alone(connection: sa.Connection, rows: Sequence[tuple[Any, ...]]) -> int:
    """SQLite, whose one writer can count what it added: with RETURNING, sqlite3 gives up Python's lock for each row."""
    last = connection.execute(sa.select(sa.func.coalesce(sa.func.max(t.inbox.c.seq), 0))).scalar_one()
    for some in _in_sizes(rows):
        connection.exec_driver_sql(_upsert(len(some), "?"), tuple(chain.from_iterable(some)))
    added = sa.select(sa.func.count()).where(t.inbox.c.seq > last)
    return connection.execute(added).scalar_one()


def _insert_returning(connection: sa.Connection, rows: Sequence[tuple[Any, ...]]) -> Iterator[tuple[str, int]]:
    """PostgreSQL; gives key and deliveries of each row as it is now."""
    for some in _in_sizes(rows):
        statement = f"{_upsert(len(some), '%s')} RETURNING key, deliveries"
        yield from connection.exec_driver_sql(statement, tuple(chain.from_iterable(some))).tuples()


def _in_sizes(rows: Sequence[tuple[Any, ...]]) -> Iterator[Sequence[tuple[Any, ...]]]:
    done = 0
    for size in _SIZES:
        while len(rows) - done >= size:
            yield rows[done : done + size]
            done += size


@cache
def _upsert(rows: int, mark: str) -> str:
    row = f"({', '.join([mark] * len(_COLUMNS))})"
    return (
        f"INSERT INTO inbox ({', '.join(_COLUMNS)}) VALUES {', '.join([row] * rows)} "  # noqa: S608 - names and marks of ours
        "ON CONFLICT (key) DO UPDATE SET deliveries = inbox.deliveries + excluded.deliveries, "
        "settled_at = coalesce(inbox.settled_at, excluded.settled_at), "
        "outcome = coalesce(inbox.outcome, excluded.outcome)"
    )
