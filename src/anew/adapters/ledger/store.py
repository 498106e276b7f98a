"""What every part of the ledger shares: transactions, and the statements several tables need."""

from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import islice
from threading import RLock
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from anew.adapters.ledger import tables as t
from anew.adapters.ledger.database import translated
from anew.adapters.ledger.rows import json_ready
from anew.errors import StaleWrite

_LENGTHS = (1, 4, 16, 64, 256, 1024)  # of lists in a statement
_READ_AT_ONCE = 256  # one of them; SQLite takes at most 32,766 variables in a statement, old ones 999


class Store:
    """One database, and turns on it."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        # A database in memory lives in one connection, which threads must take turns on.
        self._turn = RLock() if isinstance(engine.pool, sa.StaticPool) else None

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

    def _save(
        self,
        table: sa.Table,
        subject: str,
        values: dict[str, Any],
        what: str,
        actor: str,
        now: datetime,
        detail: Mapping[str, Any],
        also: sa.Insert | None = None,
    ) -> sa.RowMapping:
        """Write the row by compare-and-set, its audit row, and what belongs to the same change."""
        changes = {**values, "revision": values["revision"] + 1}
        changes |= {"poll_at": None} if "poll_at" in table.c else {}
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
            note(connection, now, subject, values["id"], what, actor, {**detail, "state": values["state"]})
            if also is not None:
                connection.execute(also)
            return row


def batched(items: Iterable[str]) -> Iterator[list[str]]:
    """The items in lists that one statement takes (itertools.batched comes with Python 3.12)."""
    rest = iter(items)
    while some := list(islice(rest, _READ_AT_ONCE)):
        yield some


def among(column: sa.Column[Any], values: Sequence[str]) -> sa.ColumnElement[bool]:
    """Whether the column has one of these values, in a statement of one of a few lengths: 1, 4, 16, 64, 256, then whole
    thousands (of 1,024). What is missing is the last value again.

    The driver keeps the last 128 statements of each connection prepared: with one of every length up to some hundreds,
    a worker that waits for thousands of runs would hold megabytes of them.
    """
    length = next((each for each in _LENGTHS if each >= len(values)), -(-len(values) // _LENGTHS[-1]) * _LENGTHS[-1])
    return column.in_([*values, *list(values[-1:]) * (length - len(values))])


def lease_is_over(until: sa.Column[Any], now: datetime, lease: timedelta) -> sa.ColumnElement[bool]:
    """Whether a lease ran out, or was given by a clock that has been set back since: clocks of several machines never
    differ by as much as a lease.
    """
    return sa.or_(until.is_(None), until <= now, until > now + 2 * lease)


def insert(connection: sa.Connection, table: sa.Table) -> Any:
    """An INSERT that may say ON CONFLICT, which each dialect has a class of its own for."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return dialect.insert(table)


def upsert(connection: sa.Connection, table: sa.Table, values: dict[str, Any], otherwise: dict[str, Any]) -> Any:
    """Insert, or on a known key update, in one statement: looking first would let two writers both insert."""
    unique = [table.c.key] if "key" in table.c else list(table.primary_key)
    return insert(connection, table).values(values).on_conflict_do_update(index_elements=unique, set_=otherwise)


def update_inbox(connection: sa.Connection, keys: Collection[str], *, unsettled: bool = False, **values: Any) -> None:
    """Change these rows of the inbox, or those of them that are not settled yet."""
    for some in batched(sorted(keys)):
        if connection.dialect.name != "sqlite":  # it has one lock for all, which the transaction holds already
            _lock(connection, some)
        changed = sa.update(t.inbox).where(among(t.inbox.c.key, some)).values(values)
        connection.execute(changed.where(t.inbox.c.settled_at.is_(None)) if unsettled else changed)


def locked(connection: sa.Connection, keys: Collection[str]) -> Iterator[sa.RowMapping]:
    """Rows of the inbox, with what was decided about them; they stay like this until the transaction ends."""
    for some in batched(sorted(keys)):
        yield from _lock(connection, some)


def _lock(connection: sa.Connection, keys: Sequence[str]) -> Sequence[sa.RowMapping]:
    """Lock rows of the inbox.

    They are locked in the order in which everybody does, so that no two wait for each other: that of Python, which is
    PostgreSQL's "C".
    """
    rows = sa.select(t.inbox.c.key, t.inbox.c.settled_at, t.inbox.c.decided_for).where(among(t.inbox.c.key, keys))
    if connection.dialect.name != "sqlite":
        rows = rows.order_by(sa.collate(t.inbox.c.key, "C")).with_for_update()
    return connection.execute(rows).mappings().fetchall()


def settle(
    connection: sa.Connection, keys: Collection[str], outcome: str, now: datetime, subject_id: str | None
) -> None:
    update_inbox(
        connection, keys, unsettled=True, settled_at=now, outcome=outcome, subject_id=subject_id, leased_until=None
    )


def note(
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


def newest(table: sa.Table, order: sa.Column[Any], limit: int) -> sa.Select[Any]:
    return sa.select(table).order_by(order.desc()).limit(limit)


def filtered(table: sa.Table, states: Collection[str] | None, model: str | None, limit: int) -> sa.Select[Any]:
    statement = sa.select(table).order_by(table.c.created_at.desc(), table.c.id.desc()).limit(limit)
    if states is not None:
        statement = statement.where(table.c.state.in_(list(states)))
    if model is not None:
        statement = statement.where(table.c.model == model)
    return statement
