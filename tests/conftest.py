"""Every database a ledger may live in, and a Prefect server."""

from collections.abc import Generator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import hypothesis
import pytest

from tests.places import NewPlace, Place, place_at, place_in_memory
from tests.postgres import Postgres, running_postgres
from tests.prefect_server import prefect_api

__all__ = ["prefect_api"]

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

_LASTING = ("sqlite-file", "postgresql")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that none is left to one process at the end."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(scope="session")
def postgres() -> Generator[Postgres]:
    """The PostgreSQL server of this session."""
    with running_postgres() as server:
        yield server


@pytest.fixture(params=_LASTING)
def new_lasting_place(request: pytest.FixtureRequest, tmp_path: Path) -> NewPlace:
    """Empty ledgers, as many as are asked for, in each database that several processes can share."""
    return _new_place(request.param, request, tmp_path)


@pytest.fixture
def lasting_place(new_lasting_place: NewPlace) -> Generator[Place]:
    """An empty ledger in each database that several processes can share."""
    with new_lasting_place() as place:
        yield place


@pytest.fixture(params=_LASTING)
def bare_place(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Place]:
    """A database without the ledger's schema, of each kind that several processes can share."""
    with _new_place(request.param, request, tmp_path, bare=True)() as place:
        yield place


@pytest.fixture(params=("sqlite-memory", *_LASTING))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Place]:
    """An empty ledger in each kind of database."""
    with _new_place(request.param, request, tmp_path)() as place:
        yield place


def _new_place(kind: str, request: pytest.FixtureRequest, folder: Path, *, bare: bool = False) -> NewPlace:
    if kind == "sqlite-memory":
        return place_in_memory
    if kind == "sqlite-file":
        numbers = count()
        return lambda: place_at(f"sqlite:///{folder / f'ledger-{next(numbers)}.db'}")
    # Asked for by name, so that a session without such a test does not start a server.
    server: Postgres = request.getfixturevalue("postgres")

    @contextmanager
    def new_database() -> Generator[Place]:
        with server.empty_database() if bare else server.empty_ledger() as url, place_at(url) as place:
            yield place

    return new_database
