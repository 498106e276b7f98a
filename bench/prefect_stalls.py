"""How often a Prefect server on SQLite stands still, started as usual and as anew starts it (docs/adr/0013).

One worker looks for work every 0.25 s and one event a second starts a flow. A request that takes more than three
seconds is a stall; the server is asked again until it answers.
"""

import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import httpx

from anew.adapters.prefect.api import PrefectFlows
from anew.demo.processes import Processes, free_port
from anew.demo.stack import POOL, WORKER, prefect_home

_SECONDS = 60
_PATIENCE = 3.0
_BIN = Path(sys.executable).parent
_SERVERS = {
    "prefect server start": [str(_BIN / "prefect"), "server", "start"],
    "anew.adapters.prefect.in_process.server": [sys.executable, "-m", "anew.adapters.prefect.in_process.server"],
}


def main() -> None:
    """Print stalls and seconds lost for both, in the same run."""
    for name, command in _SERVERS.items():
        stalls, lost = _measure(command)
        print(f"{name:<30} {stalls:3d} stalls, {lost:5.1f} of {_SECONDS} s without an answer", flush=True)


def _measure(command: Sequence[str]) -> tuple[int, float]:
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        (folder / "logs").mkdir()
        told = {
            "PREFECT_HOME": str(prefect_home(folder)),
            "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
            "PREFECT_SERVER_API_PORT": str(port),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_WORKER_QUERY_SECONDS": "0.25",
            "PWD": str(Path.cwd()),
        }
        with Processes(folder / "logs", told) as processes:
            processes.start("server", command)
            url = f"http://127.0.0.1:{port}/api"
            processes.wait_until("server", lambda: _answers(url), "the server answers")
            with PrefectFlows(url) as flows:
                flows.ensure_pool(POOL, WORKER)
            processes.start("worker", [str(_BIN / "prefect"), "worker", "start", "--pool", POOL, "--type", WORKER])
            deploy = [str(_BIN / "prefect"), "--no-prompt", "deploy", "--all"]
            subprocess.run(deploy, env=os.environ | told, check=True, stdout=subprocess.DEVNULL)
            return _count_stalls(url)


def _count_stalls(url: str) -> tuple[int, float]:
    stalls, lost = 0, 0.0
    end = time.monotonic() + _SECONDS
    with httpx.Client(base_url=url, timeout=_PATIENCE, trust_env=False) as client:
        while (began := time.monotonic()) < end:
            try:
                client.post("/events", json=[_event()])
                client.post("/logs/", json=[_line()])
            except httpx.TimeoutException:
                stalls += 1
                lost += time.monotonic() - began
            time.sleep(1)
    return stalls, lost


def _event() -> dict[str, object]:
    return {
        "id": str(uuid.uuid4()),
        "occurred": datetime.now(UTC).isoformat(),
        "event": "Microsoft.MachineLearningServices.DatasetDriftDetected",
        "resource": {"prefect.resource.id": "azureml.workspace.bench", "anew.flow": "retrain"},
        "payload": {},
    }


def _line() -> dict[str, object]:
    return {"name": "bench", "level": 20, "message": "still there", "timestamp": datetime.now(UTC).isoformat()}


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=2, trust_env=False).is_success
    except httpx.TransportError:
        return False
