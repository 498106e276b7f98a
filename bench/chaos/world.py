"""The running system: local Azure, two webhooks, three workers and Prefect, any of which may be killed or frozen."""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import httpx
import yaml

from anew.adapters.policy_folder import load_policies
from anew.adapters.prefect.api import PrefectFlows
from anew.core.events.event import Workspace
from anew.demo.azure_setup import AzureSetup
from anew.demo.processes import free_port
from anew.emulator.client import FaultRule, LocalAzure
from anew.settings import SETTINGS_VARIABLE, load_settings
from anew.wiring import open_ledger
from bench.chaos import roles
from bench.chaos.plan import ModelPlan, Plan

SECRET = "chaos-chaos-chaos-chaos"
WORKSPACE = Workspace("00000000-0000-0000-0000-000000000000", "rg-chaos", "ws-chaos")
_FACTORY = "adf-chaos"
_PIPELINE = Path("azure/elec2-retrain.pipeline.json")
_PATIENCE = 90.0
_RECONCILE_EVERY = 5.0
_EVALUATION = {
    "task": "classification",
    "rows": 1000,
    "data_hash": "f00d",
    "challenger_correct": 560,
    "champion_correct": 520,
    "only_champion": 20,
    "only_challenger": 60,
}


@dataclass
class World:
    """Everything that runs, in one folder. Not started before `start`."""

    folder: Path
    ledger_url: str
    prepared: Path | None
    azure_url: str = field(default_factory=lambda: f"http://127.0.0.1:{free_port()}")
    prefect_url: str = field(default_factory=lambda: f"http://127.0.0.1:{free_port()}")
    webhook_urls: tuple[str, ...] = field(
        default_factory=lambda: tuple(f"http://127.0.0.1:{free_port()}" for _ in range(2))
    )
    processes: dict[str, BaseProcess] = field(default_factory=dict[str, BaseProcess])

    def start(self, plan: Plan) -> None:
        """Start everything, and put into Azure and Prefect what is there before anything happens."""
        self._write(plan)
        os.environ.update(self.environment())
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(roles.PRELOAD)
        self.run("azure")
        self.run("prefect")
        self._until(lambda: answers(f"{self.azure_url}/emulator/health"), "local Azure")
        open_ledger(load_settings()).close()
        AzureSetup(load_settings()).publish_pipeline(self.folder / "pipeline.json", "retrain")
        for name in ("webhook-1", "webhook-2"):
            self.run(name)
        self._until(lambda: answers(f"{self.prefect_url}/api/health"), "the Prefect server")
        self._deploy()
        for name in ("worker-1", "worker-2", "worker-3"):
            self.run(name)
        for number, url in enumerate(self.webhook_urls, start=1):
            self._until(lambda url=url: listens(url), f"webhook {number}")
        AzureSetup(load_settings()).subscribe(f"{self.webhook_urls[0]}/events?code={SECRET}")

    def environment(self) -> dict[str, str]:
        """What the processes are told."""
        prefect_port = self.prefect_url.rpartition(":")[2]
        return {
            SETTINGS_VARIABLE: str(self.folder / "anew.toml"),
            "PREFECT_HOME": str(self.folder / "prefect"),
            "PREFECT_API_URL": f"{self.prefect_url}/api",
            "PREFECT_SERVER_API_HOST": "127.0.0.1",
            "PREFECT_SERVER_API_PORT": prefect_port,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_CLI_PROMPT": "false",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "3",
            "PREFECT_LOGGING_LEVEL": "WARNING",
            "DO_NOT_TRACK": "1",
            "OMP_NUM_THREADS": "1",
        }

    def run(self, name: str) -> None:
        """Start the process of this name, or start it again."""
        log = self.folder / "logs" / f"{name}.log"
        target: Callable[..., None]
        match name.split("-"):
            case ["azure"]:
                port = int(self.azure_url.rpartition(":")[2])
                target, args = roles.local_azure, (port, self.folder / "azure", log)
            case ["prefect"]:
                target, args = roles.prefect_server, (log,)
            case ["webhook", number]:
                port = int(self.webhook_urls[int(number) - 1].rpartition(":")[2])
                target, args = roles.webhook, (port, log)
            case _:
                target, args = roles.worker, (name, log)
        process: BaseProcess = self._context.Process(target=target, args=args, name=name)
        process.start()
        self.processes[name] = process

    def kill(self, name: str) -> None:
        """Kill -9, and start again."""
        process = self.processes[name]
        process.kill()
        process.join()
        self.run(name)

    def freeze(self, name: str, *, stops: bool) -> None:
        """Let it stand still, or go on. One that was killed since, and started again, was not standing still."""
        process = self.processes[name]
        if process.pid is not None and process.is_alive():
            os.kill(process.pid, signal.SIGSTOP if stops else signal.SIGCONT)

    def revive(self) -> list[str]:
        """Start again whoever ended by itself, as a supervisor does; returns their names."""
        ended = [name for name, process in self.processes.items() if not process.is_alive()]
        for name in ended:
            self.run(name)
        return ended

    def stop(self) -> None:
        """Stop everything."""
        for process in self.processes.values():
            if process.pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
            process.join()

    def fail(self, seed: int) -> None:
        """Let Azure fail from now on, in every way, before and after it does what it was asked."""
        arm = r"^/(subscriptions|v1)/"
        rules: list[FaultRule] = [
            {"path": arm, "kind": "status", "status": 503, "when": "before", "probability": 0.02},
            {"path": arm, "kind": "status", "status": 500, "when": "after", "probability": 0.03},
            {"path": arm, "kind": "status", "status": 429, "retry_after": 1, "when": "before", "probability": 0.02},
            {"path": arm, "kind": "status", "status": 429, "retry_after": 1, "when": "after", "probability": 0.01},
            {"path": arm, "kind": "reset", "when": "before", "probability": 0.01},
            {"path": arm, "kind": "reset", "when": "after", "probability": 0.02},
            {"path": arm, "kind": "slow", "seconds": 1.0, "when": "before", "probability": 0.01},
            {"path": arm, "kind": "hang", "seconds": 3.0, "when": "after", "probability": 0.003},
        ]
        with LocalAzure(self.azure_url) as azure:
            azure.set_faults(*rules, seed=seed)

    def heal(self) -> None:
        """Let Azure work again."""
        with LocalAzure(self.azure_url) as azure:
            azure.clear_faults()

    def prepare_prefect(self, target: Path) -> None:
        """Keep Prefect's database, with everything deployed, for the next run."""
        shutil.copytree(self.folder / "prefect", target)

    def _deploy(self) -> None:
        if self.prepared is None:
            with PrefectFlows(f"{self.prefect_url}/api") as flows:
                flows.ensure_pool("anew", "anew-in-process")
            command = [str(Path(sys.executable).parent / "prefect"), "--no-prompt", "deploy", "--all"]
            subprocess.run(command, check=True, capture_output=True)
            with PrefectFlows(f"{self.prefect_url}/api") as flows:
                flows.schedule_every("reconcile/default", _RECONCILE_EVERY)

    def _write(self, plan: Plan) -> None:
        for name in ("logs", "policies/jobs"):
            (self.folder / name).mkdir(parents=True)
        if self.prepared is not None:
            shutil.copytree(self.prepared, self.folder / "prefect")
        (self.folder / "anew.toml").write_text(self._settings())
        (self.folder / "pipeline.json").write_text(json.dumps(_pipeline()))
        jobs = self.folder / "policies" / "jobs"
        evaluation = f"--seconds 0.3 --evaluation '{json.dumps(_EVALUATION)}'"
        _write_yaml(jobs / "evaluate.yml", _job(evaluation, evaluates=True))
        for model in plan.models:
            seconds = 100_000 if model.hangs else model.seconds
            _write_yaml(jobs / f"{model.name}.yml", _job(f"--seconds {seconds} --out ${{{{outputs.model}}}}"))
            _write_yaml(self.folder / "policies" / f"{model.name}.yaml", _policy(model))
        load_policies(self.folder / "policies")

    def _settings(self) -> str:
        return f"""\
ledger = "{self.ledger_url}"
policies = "{self.folder}/policies"

[azure]
subscription_id = "{WORKSPACE.subscription_id}"
resource_group = "{WORKSPACE.resource_group}"
workspace = "{WORKSPACE.name}"
data_factory = "{_FACTORY}"
log_analytics_workspace_id = "{WORKSPACE.subscription_id}"
local_azure_url = "{self.azure_url}"

[webhook]
secrets = ["{SECRET}"]
operator_port = 0

[prefect]
api_url = "{self.prefect_url}/api"

[timing]
inbox_lease = "PT10S"
rollout_lease = "PT30S"
visibility_delay = "PT10S"
confirm_within = "PT10S"
"""

    def _until(self, ready: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not ready():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} did not start; logs: {self.folder / 'logs'}")
            time.sleep(0.1)


def _write_yaml(path: Path, document: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(document))


def answers(url: str) -> bool:
    """Whether this address answers with success."""
    try:
        return httpx.get(url, timeout=2, trust_env=False).is_success
    except httpx.TransportError:
        return False


def listens(url: str) -> bool:
    """Whether anything answers at this address."""
    try:
        httpx.get(url, timeout=2, trust_env=False)
    except httpx.TransportError:
        return False
    return True


def _policy(model: ModelPlan) -> dict[str, Any]:
    seconds = "100000" if model.hangs else str(model.seconds)
    adf = {"kind": "adf", "pipeline": "retrain", "parameters": {"seconds": seconds}}
    aml = {"kind": "aml", "job": f"jobs/{model.name}.yml"}
    # Nobody asks the models anything here: stages pass by time.
    at_once = {"wait": "0s", "min_requests": 0}
    deploy = {
        "match": {"stage": "production"},
        "endpoint": f"{model.name}-online",
        "steps": [{"traffic": 50, **at_once}, {"traffic": 100, **at_once}],
        "analysis": None,
        "bake": "5s",
    }
    metrics = ("drift_coefficient", "normalized_wasserstein_distance")
    return {
        "apiVersion": "anew/v1",
        "model": model.name,
        "monitors": [model.monitor],
        "when": {"kind": "any", "rules": [{"kind": "threshold", "metric": each, "above": 0.3} for each in metrics]},
        "limits": {"cooldown": "0s", "in_flight": model.in_flight},
        "retrain": {
            "launcher": adf if model.launcher == "adf" else aml,
            "timeout": "15s" if model.hangs else "10m",
        },
        "evaluate": {"job": "jobs/evaluate.yml"},
        "register": {"tags": {"stage": "production"}},
        "deploy": [deploy] if model.deploys else [],
    }


def _job(arguments: str, *, evaluates: bool = False) -> dict[str, Any]:
    job: dict[str, Any] = {
        "$schema": "https://azuremlschemas.azureedge.net/latest/commandJob.schema.json",
        "type": "command",
        "experiment_name": "chaos",
        "command": f"python -m anew.emulator.workloads.pause {arguments}",
        "environment": "azureml:anew-samples:1",
        "compute": "azureml:cpu-cluster",
    }
    if evaluates:
        model = {"type": "mlflow_model", "path": "azureml:m00:1"}
        return job | {"inputs": {"champion": model, "challenger": model}}
    return job | {"outputs": {"model": {"type": "mlflow_model"}}}


def _pipeline() -> dict[str, Any]:
    """The demo's pipeline around a job that only waits."""
    document = json.loads(_PIPELINE.read_text())
    properties = document["properties"]
    for name in ("data", "train_rows", "holdout_rows"):
        del properties["parameters"][name]
    properties["parameters"]["seconds"] = {"type": "String"}
    start = next(each for each in properties["activities"] if each["name"] == "StartJob")
    body = start["typeProperties"]["body"]["properties"]
    body["command"] = "python -m anew.emulator.workloads.pause --seconds ${{inputs.seconds}} --out ${{outputs.model}}"
    body["inputs"] = {"seconds": {"jobInputType": "literal", "value": "@{pipeline().parameters.seconds}"}}
    wait = next(each for each in properties["activities"] if each["name"] == "WaitForJob")
    wait["typeProperties"]["activities"][0]["typeProperties"]["waitTimeInSeconds"] = 1
    return document
