"""Every database a ledger may live in. PostgreSQL joins in when ANEW_TEST_POSTGRES names one (a SQLAlchemy URL)."""

import os
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa

from anew.adapters.ledger import SqlLedger
from anew.adapters.ledger.tables import metadata
from tests.builders import fresh_ledger

POSTGRES = "ANEW_TEST_POSTGRES"


@dataclass(frozen=True)
class Place:
    """Where a ledger lives. `open` gives one more view of the same ledger, as another process would have it."""

    url: str
    open: Callable[[], SqlLedger]


def _databases() -> list[str]:
    return ["sqlite-file", "sqlite-memory", *(["postgresql"] if POSTGRES in os.environ else [])]


def _lasting() -> list[str]:
    return [name for name in _databases() if name != "sqlite-memory"]


@pytest.fixture(params=_databases())
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Place]:
    """An empty ledger in each kind of database."""
    yield from _place(request.param, tmp_path)


@pytest.fixture(params=_lasting())
def lasting_place(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Place]:
    """An empty ledger in each database that several processes can share."""
    yield from _place(request.param, tmp_path)


def _place(kind: str, folder: Path) -> Generator[Place]:
    opened: list[SqlLedger] = []
    if kind == "sqlite-memory":
        ledger = fresh_ledger()
        yield Place("sqlite://", lambda: ledger)
        ledger.close()
        return
    url = f"sqlite:///{folder / 'ledger.db'}" if kind == "sqlite-file" else _emptied(os.environ[POSTGRES])

    def open_one_more() -> SqlLedger:
        opened.append(SqlLedger.open(url))
        return opened[-1]

    yield Place(url, open_one_more)
    for ledger in opened:
        ledger.close()


def _emptied(url: str) -> str:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        metadata.drop_all(connection)
        connection.exec_driver_sql("DROP TABLE IF EXISTS alembic_version")
        connection.exec_driver_sql("DROP FUNCTION IF EXISTS audit_append_only CASCADE")
    engine.dispose()
    return url


@pytest.fixture
def ledger(place: Place) -> SqlLedger:
    """The ledger itself."""
    return place.open()
