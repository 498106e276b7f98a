"""A Prefect server on SQLite and a process worker, as they come, looking for work often, or starting less, too."""

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import stamina

from anew.demo.processes import Processes, free_port
from anew.demo.stack import prefect_home
from bench.peers.azure import Azure, answers
from bench.peers.factory import URL_VARIABLE

_BIN = Path(sys.executable).parent
_POOL = "peers"


@dataclass(frozen=True)
class Tuning:
    """One way to run Prefect: the deployments' name, and what its worker is told."""

    name: str
    environment: dict[str, str]
    options: tuple[str, ...]
    says: str


DEFAULT = Tuning("default", {}, (), "as it comes: looks for work every 10 s, no limit")
_OFTEN = {"PREFECT_WORKER_QUERY_SECONDS": "0.5"}
POLLING = Tuning("polling", _OFTEN, ("--limit", "4"), "PREFECT_WORKER_QUERY_SECONDS=0.5, --limit 4")
TUNED = Tuning("tuned", _OFTEN, ("--limit", "4"), 'as polling, and command "python -m prefect.engine": one interpreter')
TUNINGS = (DEFAULT, POLLING, TUNED)


@dataclass(frozen=True)
class PrefectStack:
    """What runs: the processes by name, local Azure, and a client of Prefect's API."""

    processes: Processes
    azure: Azure
    api: httpx.Client

    def post(self, path: str, body: object) -> httpx.Response:
        """Post, and try again as Prefect's own client does: on SQLite its server now and then answers 503."""
        for attempt in stamina.retry_context(on=httpx.HTTPStatusError, attempts=10, timeout=60):
            with attempt:
                return self.api.post(path, json=body).raise_for_status()
        raise AssertionError("unreachable: the last attempt raises")


@contextmanager
def run_prefect(folder: Path, tuning: Tuning) -> Generator[PrefectStack]:
    """Local Azure, a server and a worker with the deployments of prefect.yaml, until the block ends."""
    (folder / "logs").mkdir()
    port = free_port()
    told = _environment(folder, port) | tuning.environment
    with Processes(folder / "logs", told) as plain:
        azure = Azure(plain, folder / "azure")
        with Processes(folder / "logs", told | {URL_VARIABLE: azure.url}) as processes:
            processes.start("server", [str(_BIN / "prefect"), "server", "start"])
            url = told["PREFECT_API_URL"]
            processes.wait_until("server", lambda: answers(f"{url}/health"), "the server answers")
            prefect = str(_BIN / "prefect")
            processes.run("pool", [prefect, "work-pool", "create", _POOL, "--type", "process"])
            deployments = str(Path(__file__).with_name("prefect.yaml"))
            processes.run("deploy", [prefect, "--no-prompt", "deploy", "--all", "--prefect-file", deployments])
            processes.start("worker", [prefect, "worker", "start", "--pool", _POOL, *tuning.options])
            processes.wait_until("worker", lambda: "started" in processes.log_of("worker").read_text(), "it started")
            with httpx.Client(base_url=url, timeout=60, trust_env=False) as api:
                yield PrefectStack(processes, azure, api)


def _environment(folder: Path, port: int) -> dict[str, str]:
    return {
        "PATH": f"{_BIN}:{os.environ['PATH']}",
        "PYTHONPATH": str(Path.cwd()),
        "PWD": str(Path.cwd()),
        "PREFECT_HOME": str(prefect_home(folder)),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_CLI_PROMPT": "false",
        "DO_NOT_TRACK": "1",
    }
