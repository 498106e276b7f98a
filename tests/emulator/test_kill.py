"""Local Azure killed and started again on the same folder: nothing accepted is lost, and nothing is made twice."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from anew.emulator.arm.credentials import EmulatorCredential
from anew.emulator.client import LocalAzure
from tests.emulator.support import RESOURCE_GROUP, SUBSCRIPTION, WORKSPACE_ID, free_port, wait_until

FACTORY = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{RESOURCE_GROUP}/providers/Microsoft.DataFactory/factories/f"
START = {
    "name": "Start",
    "type": "WebActivity",
    "typeProperties": {
        "method": "PUT",
        "url": f"@concat('https://management.azure.com{WORKSPACE_ID}/jobs/', pipeline().parameters.job)",
        "authentication": {"type": "MSI"},
        "body": {
            "properties": {
                "jobType": "Command",
                "command": "python -m anew.emulator.workloads.pause --seconds 0.2",
                "environmentId": f"{WORKSPACE_ID}/environments/anew-samples/versions/1",
            }
        },
    },
}
WAIT = {
    "name": "W",
    "type": "Wait",
    "dependsOn": [{"activity": "Start", "dependencyConditions": ["Succeeded"]}],
    "typeProperties": {"waitTimeInSeconds": 0.2},
}


class Process:
    """Local Azure as a process of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        arguments = ["-m", "anew.emulator", "--port", str(self._port), "--folder", str(self._folder)]
        self._process = subprocess.Popen([sys.executable, *arguments], stderr=subprocess.DEVNULL)
        wait_until(self._answers, seconds=60)

    def kill(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _answers(self) -> bool:
        try:
            return httpx.get(self.url + "/emulator/health", trust_env=False).is_success
        except httpx.TransportError:
            return False


@contextmanager
def running(folder: Path) -> Generator[Process]:
    process = Process(folder)
    process.start()
    try:
        yield process
    finally:
        process.kill()


def call(url: str, method: str, path: str, body: Any) -> Any:
    headers = {"Authorization": f"Bearer {EmulatorCredential().get_token('arm').token}"}
    answer = httpx.request(method, url + path, json=body, headers=headers, trust_env=False, timeout=30)
    assert answer.is_success, answer.text
    return answer.json()


def start_run(url: str, number: int) -> str:
    return call(url, "POST", f"{FACTORY}/pipelines/p/createRun", {"job": f"job-{number}"})["runId"]


def ended(url: str, accepted: set[str]) -> bool:
    with LocalAzure(url) as control:
        ends = {str(entry.get("run_id")) for entry in control.journal("pipeline_run.ended")}
        jobs = len(control.journal("job.created")) - len(control.journal("job.ended"))
    return accepted <= ends and jobs == 0


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_azure_loses_no_runs(tmp_path: Path, seed: int) -> None:
    """After kills every accepted run ends once and its job is created once."""
    moments, accepted = random.Random(seed), set[str]()
    with running(tmp_path) as azure:
        with LocalAzure(azure.url) as control:
            control.set_modes(wait_scale=1.0)
        call(
            azure.url,
            "PUT",
            f"{FACTORY}/pipelines/p",
            {"properties": {"activities": [START, WAIT], "parameters": {"job": {"type": "String"}}}},
        )
        for kill in range(3):
            accepted |= {start_run(azure.url, number) for number in range(kill * 20, kill * 20 + 20)}
            time.sleep(moments.uniform(0.0, 0.5))
            azure.kill()
            azure.start()
        wait_until(lambda: ended(azure.url, accepted), seconds=60)

        with LocalAzure(azure.url) as control:
            runs: list[Any] = list(control.journal("pipeline_run.created"))
            ends: list[Any] = list(control.journal("pipeline_run.ended"))
            jobs: list[Any] = list(control.journal("job.created"))
            over: list[Any] = list(control.journal("job.ended"))
    assert {run["run_id"] for run in runs} == accepted
    assert Counter(end["run_id"] for end in ends) == Counter(accepted)
    assert {end["status"] for end in ends} == {"Succeeded"}
    names = Counter(f"job-{number}" for number in range(60))
    assert Counter(job["name"] for job in jobs) == names
    assert Counter((job["name"], job["status"]) for job in over) == Counter((name, "Completed") for name in names)
