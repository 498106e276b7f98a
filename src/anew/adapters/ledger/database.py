"""Connecting to the ledger's database, its transactions, and bringing its schema up to date."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from threading import RLock
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.pool import StaticPool

from anew.adapters.ledger.rows import to_json
from anew.errors import LedgerMissing, LedgerUnavailable

_BUSY_TIMEOUT_MS = 15_000
_UPGRADE_LOCK = 0x616E6577  # "anew": any number that no other program uses


class Database:
    """One database and its transactions. Both raise LedgerUnavailable and LedgerMissing."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        # A database in memory has one connection, which threads must share in turns.
        self._turn = RLock() if isinstance(engine.pool, StaticPool) else nullcontext()

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    @contextmanager
    def write(self) -> Generator[sa.Connection]:
        """One transaction, committed at the end of the block."""
        with self._turn, translated(), self._engine.begin() as connection:
            yield connection

    def read(self, statement: sa.Select[Any]) -> Sequence[sa.RowMapping]:
        """The rows of one query, which takes no lock."""
        with self._turn, translated(), self._engine.connect() as connection:
            return connection.execution_options(isolation_level="AUTOCOMMIT").execute(statement).mappings().fetchall()


def create_engine(url: str) -> sa.Engine:
    """An engine for the URL; `sqlite://` is a database in memory, with one connection for all threads."""
    parsed = sa.make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return sa.create_engine(parsed, pool_pre_ping=True, json_serializer=to_json)
    options: dict[str, Any] = {"connect_args": {"check_same_thread": False}, "json_serializer": to_json}
    if not parsed.database:
        options["poolclass"] = StaticPool
    else:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(parsed, **options)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_immediate)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # pysqlite would begin deferred transactions by itself: two writers that both read first would then fail at once
    # with "database is locked", whatever the busy timeout. So we begin them, as immediate ones. The timeout comes
    # first, because another process may hold the lock that setting the journal mode needs.
    connection.isolation_level = None
    for pragma in (f"busy_timeout={_BUSY_TIMEOUT_MS}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediate(connection: sa.Connection) -> None:
    if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql("BEGIN IMMEDIATE")


@contextmanager
def translated() -> Generator[None]:
    """Raises LedgerUnavailable for a database that cannot be reached, LedgerMissing for one without our tables."""
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        text = str(error.orig)
        if "no such table" in text or "no such column" in text:
            raise LedgerMissing("the ledger does not have the current schema") from error
        raise LedgerUnavailable(f"the ledger did not answer: {text[:200]}") from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise LedgerUnavailable("the connection to the ledger broke") from error
        raise


def upgrade(engine: sa.Engine, revision: str | None = None) -> str:
    """Bring the schema to *revision* (default: the newest) and return its id. It may be repeated, and two processes may
    run it at once.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    head = revision or ScriptDirectory.from_config(config).get_current_head() or ""
    with translated(), engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            # Two processes may both find no table. SQLite's immediate transactions already come one at a time.
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_UPGRADE_LOCK)))
        if MigrationContext.configure(connection).get_current_revision() != head:
            config.attributes["connection"] = connection
            command.upgrade(config, head)
    return head
