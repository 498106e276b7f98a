"""Real Prefect servers for tests: SQLite in a temporary folder, analytics off."""

import os
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from anew.adapters.prefect.api import PrefectFlows
from anew.demo.processes import free_port
from anew.demo.stack import prefect_home

_START = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class PrefectServer:
    """A running server: its API's address, and the environment that points Prefect's tools to it."""

    api_url: str
    home: Path

    @property
    def env(self) -> dict[str, str]:
        """The whole environment for a subprocess that speaks to this server."""
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")},
            "PREFECT_API_URL": self.api_url,
            "PREFECT_HOME": str(self.home),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_CLI_PROMPT": "false",
            "PREFECT_CLI_COLORS": "false",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
        }

    def cli(self, *arguments: str, cwd: Path | None = None) -> str:
        """Run `prefect ARGUMENTS` and return what it printed; raises AssertionError with it when it fails."""
        folder = cwd or self.home
        # `{{ $PWD }}` in a prefect.yaml is the variable a shell sets, which a changed working directory does not.
        done = subprocess.run(
            [sys.executable, "-m", "prefect", *arguments], env=self.env | {"PWD": str(folder)}, cwd=folder,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def worker(
        self, pool: str, *, cwd: Path | None = None, kind: str = "anew-in-process", **variables: str
    ) -> Generator[subprocess.Popen[bytes]]:
        """A worker of this type on *pool*, stopped in the end; it logs to `worker.log` in the server's folder."""
        command = ["prefect", "worker", "start", "--pool", pool, "--type", kind]
        with running(command, self.env | variables, cwd or self.home, self.home / "worker.log") as process:
            yield process


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """A Prefect server that answers, started as anew starts it."""
    with running_server(tmp_path_factory.mktemp("server"), "anew.adapters.prefect.in_process.server") as server:
        yield server


@contextmanager
def running_server(folder: Path, *module: str) -> Generator[PrefectServer]:
    """A Prefect server that answers, started as `python -m MODULE ...` on the database that `make setup` migrated."""
    port = str(free_port())
    server = PrefectServer(f"http://127.0.0.1:{port}/api", prefect_home(folder))
    env = {name: value for name, value in server.env.items() if name != "PREFECT_API_URL"}
    log = server.home / "server.log"
    with running([*module, "--host", "127.0.0.1", "--port", port], env, server.home, log) as process:
        with PrefectFlows(server.api_url) as flows:
            flows.wait_ready(_START, lambda _: _still_runs(process, log))
        yield server


def _still_runs(process: subprocess.Popen[bytes], log: Path) -> None:
    assert process.poll() is None, log.read_text()


@contextmanager
def running(command: list[str], env: dict[str, str], cwd: Path, log: Path) -> Generator[subprocess.Popen[bytes]]:
    """The process `python -m COMMAND`, interrupted in the end."""
    with log.open("ab") as output, _interruptible():
        process = subprocess.Popen([sys.executable, "-m", *command], env=env, cwd=cwd, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        _end(process)


@contextmanager
def _interruptible() -> Generator[None]:
    """Children started within can be interrupted, though a shell started the tests in the background.

    Such a shell has SIGINT ignored, which children inherit, and Prefect turns its other signals into SIGINT.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(timeout=15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
