"""Worlds in which one story is played: a local Azure of its own as a process, a ledger, policies and settings.

All worlds are copies of one that was prepared, in which version 1 of a model serves and its drift has been seen.
"""

import hashlib
import json
import multiprocessing
import random
import shutil
import socket
import sqlite3
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import httpx

from anew.emulator.client import JournalEntry
from anew.settings import Azure, Settings

MODEL = "price"
MONITOR = "price-drift"
ENDPOINT = "price-online"
TAGS = {"stage": "production"}
SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
GROUP = "rg-anew"
FACTORY = "adf-anew"
WORKSPACE_ID = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.MachineLearningServices/workspaces/ws"
)
QUICK = "retrain"
SLOW = "retrain-slowly"
PATIENCE = 60.0  # seconds
_PORTS = range(20_000, 30_000)

# The server has imported the SDKs once, which takes seconds, and forks a process in milliseconds. It has no threads.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["__main__", "tests.faults.warm"])


def start(target: Callable[..., None], *args: Any) -> ForkServerProcess:
    """A process of its own that runs this function of a module."""
    process = _processes.Process(target=target, args=args, daemon=True)
    process.start()
    return process


@dataclass(frozen=True)
class World:
    """One local Azure in a folder, where it listens, and the ledger of the anew that works on it."""

    folder: Path
    port: int
    ledger_url: str

    @property
    def url(self) -> str:
        """Where local Azure is."""
        return f"http://127.0.0.1:{self.port}"

    def settings(self, policies: str = "policies") -> Settings:
        """What anew is told, with one of the folders of policies."""
        azure = Azure(
            subscription_id=SUBSCRIPTION,
            resource_group=GROUP,
            workspace="ws",
            data_factory=FACTORY,
            log_analytics_workspace_id=SUBSCRIPTION,
            local_azure_url=self.url,
        )
        return Settings(ledger=self.ledger_url, policies=self.folder / policies, azure=azure)

    def journal(self) -> list[JournalEntry]:
        """All that local Azure noted. Raises httpx.TransportError."""
        return _get(f"{self.url}/emulator/journal").json()["value"]


# --- local Azure as a process -----------------------------------------------------------------------------


@contextmanager
def running_azure(world: World, lifetime: int = 0, *, durable: bool = True) -> Generator[ForkServerProcess]:
    """Local Azure until the block ends; with a lifetime it kills itself at that entry of its journal."""
    from tests.faults.players import serve_azure

    process = start(serve_azure, world.folder / "azure", world.port, lifetime, durable)
    try:
        wait_until(lambda: answers(world) or not process.is_alive(), "local Azure answers")
        assert process.is_alive(), f"local Azure ended with {process.exitcode} at its start"
        yield process
    finally:
        process.kill()
        process.join()


def answers(world: World) -> bool:
    """Whether local Azure is up."""
    try:
        return _get(f"{world.url}/emulator/health").is_success
    except httpx.TransportError:
        return False


def lasting_port() -> int:
    """A free port below those that connections get, so that it stays free while nobody listens for a moment."""
    for port in random.sample(_PORTS, len(_PORTS)):
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port
    raise AssertionError("no port is free")


def listens(port: int) -> bool:
    """Whether somebody takes connections."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _get(url: str) -> httpx.Response:
    # Reading the certificates of the world for a request to this machine would take longer than the request.
    return httpx.get(url, trust_env=False, verify=False)


def wait_until(probe: Callable[[], object], what: str) -> None:
    """Return when the probe says so."""
    deadline = time.monotonic() + PATIENCE
    while not probe():
        assert time.monotonic() < deadline, f"not in {PATIENCE:.0f} s: {what}"
        time.sleep(0.01)


def is_quiet(journal: list[JournalEntry]) -> bool:
    """Whether nothing more happens in Azure by itself: what is short has ended, what is slow has begun."""
    entries: list[Any] = list(journal)
    ended = {(entry["action"].partition(".")[0], _id(entry)) for entry in entries if entry["action"].endswith(".ended")}
    cancelled = {_id(entry) for entry in entries if entry["action"].endswith(".cancel_requested")}
    jobs = [entry for entry in entries if entry["action"] == "job.created"]
    runs = [entry for entry in entries if entry["action"] == "pipeline_run.created"]
    slow = {_id(job) for job in jobs if job["tags"].get("pipeline") == SLOW}
    begun = {job["tags"].get("anew_retraining_id") for job in jobs}
    for entry in (*jobs, *runs):
        if (entry["action"].partition(".")[0], _id(entry)) in ended:
            continue
        is_slow = _id(entry) in slow or (
            entry.get("pipeline") == SLOW and entry["parameters"]["anew_retraining_id"] in begun
        )
        if not is_slow or _id(entry) in cancelled:
            return False
    return True


def _id(entry: Any) -> str:
    return entry.get("run_id") or entry["name"]


def state_of(world: World, *, azure: bool = True) -> tuple[int, str]:
    """How much Azure noted, and the ledger's rows, except for quota tokens: they are nobody's work."""
    rows = hashlib.sha256()
    path = world.ledger_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path)) as ledger:
        tables = [name for (name,) in ledger.execute("select name from sqlite_master where type = 'table' order by 1")]
        for table in tables:
            if table != "token_buckets":
                rows.update(repr(ledger.execute(f"select * from {table}").fetchall()).encode())
    return len(world.journal()) if azure else 0, rows.hexdigest()


# --- preparing one ----------------------------------------------------------------------------------------

_PAUSE = "python -m anew.emulator.workloads.pause --seconds"
_EVALUATION = {
    "task": "classification",
    "rows": 1000,
    "data_hash": "f00d",
    "challenger_correct": 560,
    "champion_correct": 520,
    "only_champion": 20,
    "only_challenger": 60,
}


def policy(pipeline: str = QUICK, **changes: Any) -> dict[str, Any]:
    """Drift above 0.3 retrains by this pipeline, and the new version takes all traffic in two steps."""
    return {
        "apiVersion": "anew/v1",
        "model": MODEL,
        "monitors": [MONITOR],
        "when": {"kind": "threshold", "metric": "drift_coefficient", "above": 0.3},
        "limits": {"cooldown": "1s"},
        "retrain": {"launcher": {"kind": "adf", "pipeline": pipeline}},
        "evaluate": {"job": "jobs/evaluate.yml"},
        "gate": {"kind": "non_inferiority"},
        "register": {"tags": TAGS},
        "deploy": [
            {
                "match": TAGS,
                "endpoint": ENDPOINT,
                "steps": [
                    {"traffic": 10, "wait": "0s", "min_requests": 0},
                    {"traffic": 100, "wait": "0s", "min_requests": 0},
                ],
                "analysis": None,
                "bake": "0s",
                "sample_request": {"input_data": {"columns": ["a"], "data": [[1]]}},
            }
        ],
    } | changes


def write_policies(folder: Path, document: Mapping[str, Any]) -> None:
    """A folder of one policy, with the jobs it names."""
    jobs_folder = folder / "jobs"
    jobs_folder.mkdir(parents=True, exist_ok=True)
    model = {"type": "mlflow_model", "path": f"azureml:{MODEL}:1"}
    jobs = {
        "train.yml": _job(f"{_PAUSE} 0 --out ${{{{outputs.model}}}}", outputs={"model": {"type": "mlflow_model"}}),
        "evaluate.yml": _job(
            f"{_PAUSE} 0 --evaluation ${{{{inputs.report}}}}",
            inputs={"report": json.dumps(_EVALUATION), "champion": model, "challenger": model},
        ),
    }
    (folder / f"{MODEL}.yaml").write_text(json.dumps(document))  # JSON is YAML
    for name, content in jobs.items():
        (jobs_folder / name).write_text(json.dumps(content))


def _job(command: str, **changes: Any) -> dict[str, Any]:
    return {
        "$schema": "https://azuremlschemas.azureedge.net/latest/commandJob.schema.json",
        "type": "command",
        "command": command,
        "environment": "azureml:anew-samples:1",
        "compute": "azureml:cpu",
        "experiment_name": "retraining",
    } | changes


def pipeline(name: str) -> dict[str, Any]:
    """A pipeline that starts the training job by a Web activity; the slow one, and its job, outlast any test."""
    seconds = 3600 if name == SLOW else 0
    start_job = {
        "name": "StartJob",
        "type": "WebActivity",
        "typeProperties": {
            "method": "PUT",
            "url": f"https://management.azure.com{WORKSPACE_ID}/jobs/@{{pipeline().parameters.anew_job_name}}"
            "?api-version=2024-04-01",
            "authentication": {"type": "MSI", "resource": "https://management.azure.com/"},
            "body": {
                "properties": {
                    "jobType": "Command",
                    "experimentName": "retraining",
                    "command": f"{_PAUSE} {seconds} --out ${{{{outputs.model}}}}",
                    "environmentId": f"{WORKSPACE_ID}/environments/anew-samples/versions/1",
                    "outputs": {"model": {"jobOutputType": "mlflow_model"}},
                    "tags": {"anew_retraining_id": "@pipeline().parameters.anew_retraining_id", "pipeline": name},
                }
            },
        },
    }
    wait = {
        "name": "WaitForJob",
        "type": "Wait",
        "dependsOn": [{"activity": "StartJob", "dependencyConditions": ["Succeeded"]}],
        "typeProperties": {"waitTimeInSeconds": seconds},
    }
    text = {"type": "string"}
    return {
        "properties": {
            "parameters": {"anew_retraining_id": text, "anew_job_name": text},
            "activities": [start_job, *([wait] if seconds else [])],
        }
    }


def copy_world(template: World, folder: Path, ledger_url: str | None = None) -> World:
    """Another world that begins where the template stands, on the same port."""
    shutil.copytree(template.folder, folder)
    return World(folder, template.port, ledger_url or f"sqlite:///{folder}/ledger.db")
