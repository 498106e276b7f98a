"""From drift events to external runs launched: idle, and for bursts about as many distinct models.

The real stack: Event Grid's request, the webhook, Prefect's trigger and worker, the SDKs, local Azure. Launches are
timed by local Azure's own journal. `python -m bench peers-burst` measures plain Prefect doing the same.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from anew.demo.azure_setup import AzureSetup
from anew.demo.narrator import Narrator
from anew.demo.processes import Processes
from anew.demo.stack import Stack, choose_addresses, environment, write_settings
from anew.emulator.client import LocalAzure
from anew.settings import load_settings

_IDLE = 9
_WARM_UP = 2
_BURSTS = (20, 100, 1000)
_ONE_MODEL = 1000
_BATCH = 100  # events in a request
_PIPELINE = "wait"
_JOB = Path("policies/jobs/elec2-evaluate.yml").resolve()
_WAITS: dict[str, Any] = {
    "properties": {
        "parameters": {"anew_retraining_id": {"type": "String"}, "anew_job_name": {"type": "String"}},
        "activities": [{"name": "Wait", "type": "Wait", "typeProperties": {"waitTimeInSeconds": 3600}}],
    }
}


def main() -> None:
    """Print p50 and p95 from posting to launch, and launches a second."""
    with tempfile.TemporaryDirectory() as name, _running(Path(name)) as stack:
        models = iter(range(_IDLE + _WARM_UP + sum(_BURSTS) + 1))
        idle = [_burst(stack, [next(models)], pause=3.0) for _ in range(_IDLE + _WARM_UP)][_WARM_UP:]
        _print("idle, one event", [latency for each in idle for latency in each])
        for size in _BURSTS:
            _print(f"burst of {size}", _burst(stack, [next(models) for _ in range(size)], pause=5.0))
        _one_model(stack, next(models))


@contextmanager
def _running(folder: Path) -> Iterator[Stack]:
    policies = folder / "policies"
    policies.mkdir()
    for n in range(_IDLE + _WARM_UP + sum(_BURSTS) + 1):
        (policies / f"model-{n}.yaml").write_text(_policy(n))
    (folder / "logs").mkdir()
    addresses = choose_addresses()
    told = environment(folder, write_settings(folder, addresses, policies), addresses)
    os.environ.update(told)
    with Processes(folder / "logs", told) as processes:
        stack = Stack(folder, addresses, processes, Narrator(Console(stderr=True)))
        stack.start()
        AzureSetup(load_settings()).publish_document(_WAITS, _PIPELINE)
        yield stack


def _policy(n: int) -> str:
    return f"""\
apiVersion: anew/v1
model: model-{n}
monitors: [model-{n}-drift]
when: {{kind: threshold, metric: drift_coefficient, above: 0.3}}
retrain: {{launcher: {{kind: adf, pipeline: {_PIPELINE}}}}}
evaluate: {{job: {_JOB}}}
"""


def _burst(stack: Stack, models: Sequence[int], *, pause: float) -> list[float]:
    """Seconds from posting the first event to each launch."""
    with LocalAzure(stack.addresses.local_azure) as azure:
        time.sleep(pause)
        after = _last_noted(azure)
        # Posted at once: a scheduled reconcile in between would find this drift first.
        events = [_drift(azure, model) for model in models]
        posted = datetime.now(UTC)
        _post(stack, events)
        deadline = time.monotonic() + 600
        while time.monotonic() < deadline:
            made = azure.journal("pipeline_run.created", after=after)
            if len(made) >= len(models):
                return [(datetime.fromisoformat(entry["at"]) - posted).total_seconds() for entry in made]
            time.sleep(0.1)
    raise TimeoutError(f"{len(made)} of {len(models)} were launched")


def _last_noted(azure: LocalAzure) -> int:
    return max((entry["seq"] for entry in azure.journal()), default=-1)


def _drift(azure: LocalAzure, model: int) -> dict[str, Any]:
    arm_id = load_settings().workspace.arm_id
    [event] = azure.observe(arm_id, kind="dataset", name=f"model-{model}-drift", value=0.9, publish=False)
    return event


def _post(stack: Stack, events: Sequence[dict[str, Any]]) -> None:
    for start in range(0, len(events), _BATCH):
        body = events[start : start + _BATCH]
        httpx.post(f"{stack.addresses.webhook}/events", json=body, trust_env=False, timeout=30).raise_for_status()


def _one_model(stack: Stack, model: int) -> None:
    """A storm about one model is one decision and one launch."""
    with LocalAzure(stack.addresses.local_azure) as azure:
        events = [_drift(azure, model) for _ in range(_ONE_MODEL)]
        after = _last_noted(azure)
        _post(stack, events)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not azure.journal("pipeline_run.created", after=after):
            time.sleep(1)
        time.sleep(15)  # for a second one, were there one
        made = azure.journal("pipeline_run.created", after=after)
    print(f"{_ONE_MODEL} events about one model: {len(made)} launched")


def _print(what: str, latencies: Sequence[float]) -> None:
    ordered = sorted(latencies)
    p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    rate = f", {len(ordered) / ordered[-1]:6.1f} launches/s" if "burst" in what else ""
    print(
        f"{what:<18} n={len(ordered):<5} p50 {statistics.median(ordered):6.2f} s   p95 {p95:6.2f} s{rate}", flush=True
    )
