"""From an event posted to an external run launched, idle, split into its stages.

Ten models, each with a policy of its own, get one drift event each, three seconds apart. The launch is timed by local
Azure's own journal, not by anew.
"""

import os
import statistics
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from anew.adapters.prefect.api import PrefectFlows
from anew.demo.azure_setup import AzureSetup
from anew.demo.narrator import Narrator
from anew.demo.processes import Processes
from anew.demo.stack import Stack, choose_addresses, environment, write_settings
from anew.emulator.client import LocalAzure
from anew.engine.base.ledger import Ledger
from anew.settings import load_settings
from anew.wiring import open_ledger
from bench.memory import peaks

_EVENTS = 10
_WARM_UP = 2
_PIPELINE = Path("azure/elec2-retrain.pipeline.json")
_JOB = Path("policies/jobs/elec2-evaluate.yml").resolve()

_POLICY = """\
apiVersion: anew/v1
model: model-{n}
monitors: [model-{n}-drift]
when: {{kind: threshold, metric: drift_coefficient, above: 0.3}}
retrain:
  launcher:
    kind: adf
    pipeline: elec2-retrain
    parameters: {{data: "azureml://datastores/workspaceblobstore/paths/none.parquet", train_rows: 10, holdout_rows: 1}}
evaluate: {{job: {job}}}
"""


@dataclass(frozen=True)
class Split:
    """Seconds from posting to each stage."""

    ack: float
    hint: float
    flow: float
    decide: float
    launch: float


def main() -> None:
    """Print the median of each stage and the peak memory of each process."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        policies = _write_policies(folder)
        (folder / "logs").mkdir()
        addresses = choose_addresses()
        told = environment(folder, write_settings(folder, addresses, policies), addresses)
        os.environ.update(told)
        with Processes(folder / "logs", told) as processes:
            stack = Stack(folder, addresses, processes, Narrator(Console(stderr=True)))
            stack.start()
            AzureSetup(load_settings()).publish_pipeline(_PIPELINE, "elec2-retrain")
            splits = [_measure(stack, open_ledger(load_settings()), n) for n in range(_EVENTS + _WARM_UP)][_WARM_UP:]
            _print(splits)
            for process, megabytes in peaks(processes.pids()).items():
                print(f"{process:<16} peak {megabytes:6.0f} MB")


def _write_policies(folder: Path) -> Path:
    policies = folder / "policies"
    policies.mkdir()
    for n in range(_EVENTS + _WARM_UP):
        (policies / f"model-{n}.yaml").write_text(_POLICY.format(n=n, job=_JOB))
    return policies


def _measure(stack: Stack, ledger: Ledger, n: int) -> Split:
    time.sleep(3)
    event = _event(stack, n)
    posted = datetime.now(UTC)
    answer = httpx.post(f"{stack.addresses.webhook}/events", json=[event], trust_env=False)
    answer.raise_for_status()
    acked = datetime.now(UTC)
    launched = _launched(stack, ledger, n)
    decision = ledger.decisions(model=f"model-{n}", limit=1)[0]
    entry = ledger.entry(event["id"])
    with PrefectFlows(stack.addresses.prefect_api) as flows:
        started = [run.started for run in flows.flow_runs(["retrain/default"], posted) if run.started]
    moments = (acked, entry.hinted_at if entry else None, min(started), decision.decided_at, launched)
    return Split(*((moment - posted).total_seconds() if moment else float("nan") for moment in moments))


def _event(stack: Stack, n: int) -> dict[str, Any]:
    with LocalAzure(stack.addresses.local_azure) as azure:
        arm_id = load_settings().workspace.arm_id
        [event] = azure.observe(arm_id, kind="dataset", name=f"model-{n}-drift", value=0.9, publish=False)
        return event


def _launched(stack: Stack, ledger: Ledger, n: int) -> datetime:
    with LocalAzure(stack.addresses.local_azure) as azure:
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            known = ledger.retrainings(model=f"model-{n}")
            run_id = known[0].external_run_id if known else None
            for entry in azure.journal("pipeline_run.created") if run_id else []:
                if run_id in entry.values():
                    return datetime.fromisoformat(entry["at"])
            time.sleep(0.02)
    raise TimeoutError(f"model-{n} was not launched")


def _print(splits: list[Split]) -> None:
    print(f"event posted -> external run launched, median of {len(splits)}, idle (ms since posted)")
    for stage in ("ack", "hint", "flow", "decide", "launch"):
        values = [getattr(split, stage) * 1000 for split in splits]
        print(f"{stage:<8} {statistics.median(values):7.0f}   ({min(values):.0f}-{max(values):.0f})")
