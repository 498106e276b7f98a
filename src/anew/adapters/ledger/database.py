"""Connecting to the ledger's database, and bringing its schema up to date."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.pool import StaticPool

from anew.errors import LedgerMissing, LedgerUnavailable

_BUSY_TIMEOUT_MS = 15_000
_UPGRADE_LOCK = 0x616E6577  # any number that only we use: "anew"


def create_engine(url: str) -> sa.Engine:
    """An engine for the URL; `sqlite://` is a database in memory, one connection for all threads."""
    parsed = sa.make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return sa.create_engine(parsed, pool_pre_ping=True)
    options: dict[str, Any] = {"connect_args": {"check_same_thread": False}}
    if not parsed.database:
        options["poolclass"] = StaticPool
    else:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(parsed, **options)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_immediate)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # pysqlite would begin transactions by itself, deferred: two writers that both read first then deadlock
    # into "database is locked" at once, whatever the busy timeout. We begin them, immediate. The timeout comes
    # first, for another process may hold the lock that setting the journal mode needs.
    connection.isolation_level = None
    for pragma in (f"busy_timeout={_BUSY_TIMEOUT_MS}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediate(connection: sa.Connection) -> None:
    if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql("BEGIN IMMEDIATE")


@contextmanager
def translated(where: str) -> Generator[None]:
    """Turn a database that cannot be reached into LedgerUnavailable, and one without tables into LedgerMissing."""
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        text = str(error.orig)
        if "no such table" in text or "no such column" in text:
            raise LedgerMissing(f"the ledger has no current schema ({where})") from error
        raise LedgerUnavailable(f"the ledger did not answer ({where}): {text[:200]}") from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise LedgerUnavailable(f"the connection to the ledger broke ({where})") from error
        raise


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    return config


def upgrade(engine: sa.Engine, revision: str | None = None) -> str:
    """Bring the schema to *revision* (default: the newest) and return its id. Safe to run again, and by two processes
    at once.
    """
    config = _config()
    head = revision or ScriptDirectory.from_config(config).get_current_head() or ""
    with translated("upgrade"), engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            # Two processes may both find no table. SQLite's immediate transaction lets in one at a time already.
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_UPGRADE_LOCK)))
        if MigrationContext.configure(connection).get_current_revision() != head:
            config.attributes["connection"] = connection
            command.upgrade(config, head)
    return head
