"""The shipped deployments on what Prefect itself provides: `prefect server start` and a worker of processes."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from anew.demo.azure_setup import AzureSetup
from anew.demo.processes import free_port
from anew.demo.stack import POOL, Addresses, write_settings
from anew.settings import SETTINGS_VARIABLE, load_settings
from tests.emulator.support import RunningAzure, run_local_azure
from tests.prefect_server import PrefectServer, running, running_server
from tests.repo.paths import ROOT

PIPELINE = "wait"
WAIT = {"name": "Wait", "type": "Wait", "typeProperties": {"waitTimeInSeconds": 3600}}
TEXT = {"type": "String"}
BODY: dict[str, Any] = {
    "properties": {"parameters": {"anew_retraining_id": TEXT, "anew_job_name": TEXT}, "activities": [WAIT]}
}
POLICY = {
    "apiVersion": "anew/v1",
    "model": "price",
    "monitors": ["price-drift"],
    "when": {"kind": "threshold", "metric": "drift_coefficient", "above": 0.3},
    "retrain": {"launcher": {"kind": "adf", "pipeline": PIPELINE}},
    "evaluate": {"job": str(ROOT / "policies/jobs/elec2-evaluate.yml")},
}

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(240)]


@pytest.fixture
def azure(tmp_path: Path) -> Iterator[RunningAzure]:
    with run_local_azure(tmp_path / "azure") as azure:
        yield azure


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PrefectServer]:
    with running_server(tmp_path, "prefect", "server", "start") as server:
        yield server


@pytest.fixture
def webhook(
    azure: RunningAzure, server: PrefectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The webhook's address; its settings are also those of the worker."""
    policies = tmp_path / "policies"
    policies.mkdir()
    (policies / "price.yaml").write_text(json.dumps(POLICY))  # JSON is YAML
    urls = [f"http://127.0.0.1:{free_port()}" for _ in range(2)]
    addresses = Addresses(azure.base_url, server.api_url.removesuffix("/api"), *urls)
    monkeypatch.setenv(SETTINGS_VARIABLE, str(write_settings(tmp_path, addresses, policies)))
    AzureSetup(load_settings()).publish_document(BODY, PIPELINE)
    with running(["anew", "serve"], server.env, ROOT, tmp_path / "webhook.log"):
        _until(lambda: _is_ready(addresses.webhook_operator))
        yield addresses.webhook


def test_prefects_own_worker_launches(azure: RunningAzure, server: PrefectServer, webhook: str) -> None:
    """A drift event at the webhook becomes one pipeline run, launched by a flow in a process of its own."""
    [drift] = azure.control.observe(
        load_settings().workspace.arm_id, kind="dataset", name="price-drift", value=0.9, publish=False
    )
    server.cli("work-pool", "create", POOL, "--type", "process", cwd=ROOT)
    server.cli("--no-prompt", "deploy", "--all", cwd=ROOT)

    with server.worker(POOL, cwd=ROOT, kind="process"):
        httpx.post(f"{webhook}/events", json=[drift], trust_env=False).raise_for_status()
        _until(lambda: azure.control.journal("pipeline_run.created"))

    assert len(azure.control.journal("pipeline_run.created")) == 1


def _is_ready(operator: str) -> bool:
    try:
        return httpx.get(f"{operator}/readyz", trust_env=False).is_success
    except httpx.TransportError:
        return False


def _until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)
