"""What the rivals are measured against: local Azure as a process, a pipeline that waits, what became of its runs."""

import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from anew.demo.processes import Processes, free_port
from anew.emulator.client import LocalAzure
from bench.peers.counted_azure import READS_PATH
from bench.peers.factory import FACTORY, PIPELINE, RESOURCE_GROUP, data_factory

_DEFINITION = {
    "properties": {
        "parameters": {"sample": {"type": "string"}, "seconds": {"type": "int", "defaultValue": 1}},
        "activities": [
            {
                "name": "Train",
                "type": "Wait",
                "typeProperties": {
                    "waitTimeInSeconds": {"value": "@pipeline().parameters.seconds", "type": "Expression"}
                },
            }
        ],
    }
}


class Azure:
    """Local Azure with the pipeline published; `url` is where the rivals reach it."""

    def __init__(self, processes: Processes, folder: Path) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "bench.peers.counted_azure", str(port), str(folder)]
        processes.start("local azure", command)
        processes.wait_until("local azure", lambda: answers(f"{self.url}/emulator/health"), "local Azure answers")
        self.client = data_factory(self.url)
        self.client.pipelines.create_or_update(RESOURCE_GROUP, FACTORY, PIPELINE, _DEFINITION)
        self._control = LocalAzure(self.url)
        self._control.set_modes(wait_scale=1)

    def create_run(self, sample: str, seconds: int) -> str:
        """Start a run that ends by itself after some seconds, and return its id."""
        parameters = {"sample": sample, "seconds": seconds}
        return self.client.pipelines.create_run(RESOURCE_GROUP, FACTORY, PIPELINE, parameters).run_id

    def created(self) -> dict[str, datetime]:
        """When the first run of each sample was created."""
        entries = reversed(self._journal("pipeline_run.created"))
        return {entry["parameters"]["sample"]: datetime.fromisoformat(entry["at"]) for entry in entries}

    def runs(self) -> dict[str, str]:
        """The id of the newest run of each sample: a rival may launch one again."""
        entries = self._journal("pipeline_run.created")
        return {entry["parameters"]["sample"]: entry["run_id"] for entry in entries}

    def ended(self) -> dict[str, datetime]:
        """When each run, by its id, ended."""
        entries = self._journal("pipeline_run.ended")
        return {entry["run_id"]: datetime.fromisoformat(entry["at"]) for entry in entries}

    def _journal(self, action: str) -> list[dict[str, Any]]:
        return [dict(entry) for entry in self._control.journal(action)]

    def reads(self) -> int:
        """The control-plane reads since the start."""
        return int(httpx.get(f"{self.url}{READS_PATH}", trust_env=False).json()["reads"])


def answers(url: str) -> bool:
    """Whether there is a server, and content."""
    try:
        return httpx.get(url, timeout=2, trust_env=False).is_success
    except httpx.TransportError:
        return False
