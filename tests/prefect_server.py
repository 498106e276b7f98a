"""A real Prefect server for tests: SQLite in a temporary folder, analytics off, one for the whole session."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

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
        self, pool: str, *arguments: str, cwd: Path | None = None, **variables: str
    ) -> Generator[subprocess.Popen[bytes]]:
        """An in-process worker on *pool*, stopped in the end; it logs to `worker.log` in the server's folder."""
        command = ["prefect", "worker", "start", "--pool", pool, "--type", "anew-in-process", *arguments]
        with _process(command, self.env | variables, cwd or self.home, self.home / "worker.log") as process:
            yield process


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """A Prefect server that answers."""
    from anew.adapters.prefect.api import PrefectFlows  # here, so that other tests need not wait for the engine

    server = PrefectServer(f"http://127.0.0.1:{free_port()}/api", tmp_path_factory.mktemp("prefect"))
    port = server.api_url.split(":")[2].split("/")[0]
    env = {name: value for name, value in server.env.items() if name != "PREFECT_API_URL"}
    log = server.home / "server.log"
    command = ["anew.adapters.prefect.in_process.server", "--host", "127.0.0.1", "--port", port]
    with _process(command, env, server.home, log) as process:
        with PrefectFlows(server.api_url) as flows:
            flows.wait_ready(_START, lambda _: _still_runs(process, log))
        yield server


def free_port() -> int:
    """A port of the loopback that nobody listens on just now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _still_runs(process: subprocess.Popen[bytes], log: Path) -> None:
    assert process.poll() is None, log.read_text()


@contextmanager
def _process(command: list[str], env: dict[str, str], cwd: Path, log: Path) -> Generator[subprocess.Popen[bytes]]:
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
