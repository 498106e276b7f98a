"""What waiting costs: 10,000 trainings of mixed length in Data Factory and Azure ML, and no event about any end.

anew's worker, a process of its own, ticks every 15 seconds. Memory is what its process alone has (USS) beyond the same
process with the same policies, which has seen a few runs end (so that the SDKs are loaded, as with the rivals) and has
nothing left to wait for; reads are counted by local Azure, ends are timed by its journal.
`python -m bench peers-waiting` measures Prefect and Airflow doing the same.
"""

import asyncio
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psutil

from anew.core.base.token_bucket import ARM_READS
from anew.core.retrainings.lifecycle import Retraining, RetrainingState
from anew.demo.azure_setup import AzureSetup
from anew.demo.processes import Processes, free_port
from anew.emulator.client import LocalAzure
from anew.engine.base.ledger import DecisionRecord, Ledger
from anew.settings import SETTINGS_VARIABLE, load_settings
from anew.wiring import open_ledger

RUNS = 10_000
_WARM = 4  # runs that end before anything is measured
MINUTES = 5.0
_TICK_SECONDS = 15
_SHORTEST, _LONGEST = 60.0, 3600.0  # seconds of a training
_WARM_SECONDS = 20.0
_PIPELINE = "wait"
_IN_A_FILE = 1000
_SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"


def main() -> None:
    """Print memory, reads a minute, and how late ends are seen."""
    runs = next((int(given.partition("=")[2]) for given in sys.argv if given.startswith("--runs=")), RUNS)
    with tempfile.TemporaryDirectory() as name, _local_azure(Path(name), runs) as (url, processes):
        ledger = open_ledger(load_settings())
        _start_runs(url, ledger, dict.fromkeys(range(runs, runs + _WARM), _WARM_SECONDS))
        base = _idle_memory(processes, ledger, Path(name) / "idle.jsonl")
        _start_runs(url, ledger, {n: _length(n, runs) for n in range(runs)})
        began = datetime.now(UTC)
        processes.start("worker", _worker_command(Path(name) / "ticks.jsonl"))
        time.sleep(MINUTES * 60)
        memory = _memory(processes.pids()["worker"])
        with LocalAzure(url) as azure:
            _print(azure, ledger, runs, began, base, memory)
        _print_ticks(Path(name) / "ticks.jsonl")


@contextmanager
def _local_azure(folder: Path, runs: int) -> Iterator[tuple[str, Processes]]:
    url = f"http://127.0.0.1:{free_port()}"
    _write(folder, url, runs)
    os.environ[SETTINGS_VARIABLE] = str(folder / "anew.toml")
    with Processes(folder, {SETTINGS_VARIABLE: str(folder / "anew.toml")}) as processes:
        port = url.rpartition(":")[2]
        command = [sys.executable, "-m", "anew.emulator", "--port", port, "--folder", f"{folder}/azure"]
        processes.start("local azure", command)
        processes.wait_until("local azure", lambda: _answers(url), "local Azure answers")
        seconds = {"type": "Int"}
        text = {"type": "String"}
        wait = {"waitTimeInSeconds": {"value": "@pipeline().parameters.seconds", "type": "Expression"}}
        document = {
            "properties": {
                "parameters": {"anew_retraining_id": text, "anew_job_name": text, "seconds": seconds},
                "activities": [{"name": "Wait", "type": "Wait", "typeProperties": wait}],
            }
        }
        AzureSetup(load_settings()).publish_document(document, _PIPELINE)
        with LocalAzure(url) as azure:
            azure.set_modes(wait_scale=1.0)  # a demo's waits are shorter than they say
        yield url, processes


def _write(folder: Path, url: str, runs: int) -> None:
    (folder / "policies" / "jobs").mkdir(parents=True)
    (folder / "anew.toml").write_text(f"""\
ledger = "sqlite:///{folder}/ledger.db"
policies = "{folder}/policies"

[azure]
subscription_id = "{_SUBSCRIPTION}"
resource_group = "rg"
workspace = "ws"
data_factory = "adf"
log_analytics_workspace_id = "{_SUBSCRIPTION}"
local_azure_url = "{url}"
""")
    adf = {"launcher": {"kind": "adf", "pipeline": _PIPELINE}}
    aml = {"launcher": {"kind": "aml", "job": "jobs/train.yml"}}
    shared = {"apiVersion": "anew/v1", "when": {"kind": "monitor_breach"}, "evaluate": {"job": "jobs/train.yml"}}
    for first in range(0, runs + _WARM, _IN_A_FILE):
        some = range(first, min(first + _IN_A_FILE, runs + _WARM))
        models = [{"model": f"m{n}", "monitors": [f"m{n}"], "retrain": aml if n % 2 else adf} for n in some]
        (folder / "policies" / f"models-{first}.yaml").write_text(json.dumps(shared | {"models": models}))
    (folder / "policies" / "jobs" / "train.yml").write_text("type: command\n")


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/emulator/health", trust_env=False).is_success
    except httpx.TransportError:
        return False


# --- ten thousand trainings -------------------------------------------------------------------------------


def _length(n: int, runs: int) -> float:
    """Seconds: spread evenly over the models, in no order."""
    return _SHORTEST + (_LONGEST - _SHORTEST) * ((n * 7919) % runs) / runs


def _start_runs(url: str, ledger: Ledger, lengths: Mapping[int, float]) -> None:
    """Make the external runs, and write them down as anew does when it launched them."""
    workspace = load_settings().workspace.arm_id
    group = workspace.partition("/providers/")[0]
    pipeline = f"{group}/providers/Microsoft.DataFactory/factories/adf/pipelines/{_PIPELINE}/createRun"
    with httpx.Client(base_url=url, headers={"Authorization": "Bearer bench"}, trust_env=False) as http:
        for n, seconds in lengths.items():
            name, retraining = f"train-{n}", f"r-{n}"
            if n % 2:
                body = _job(workspace, retraining, seconds)
                http.put(f"{workspace}/jobs/{name}", json=body, params={"api-version": "1"}).raise_for_status()
                run = name
            else:
                given = {"anew_retraining_id": retraining, "anew_job_name": name, "seconds": int(seconds)}
                answer = http.post(pipeline, json=given, params={"api-version": "1"}).raise_for_status()
                run = str(answer.json()["runId"])
            _keep(ledger, n, name, run)


def _job(workspace: str, retraining: str, seconds: float) -> dict[str, object]:
    command = f"python -m anew.emulator.workloads.pause --seconds {seconds:.0f} --out ${{{{outputs.model}}}}"
    return {
        "properties": {
            "jobType": "Command",
            "command": command,
            "experimentName": "training",
            "environmentId": f"{workspace}/environments/anew-samples/versions/1",
            "outputs": {"model": {"jobOutputType": "mlflow_model"}},
            "tags": {"anew_retraining_id": retraining},
        }
    }


def _keep(ledger: Ledger, n: int, name: str, run: str) -> None:
    now = datetime.now(UTC)
    spec = {"kind": "aml", "job": "train.yml"} if n % 2 else {"kind": "adf", "pipeline": _PIPELINE}
    retraining = Retraining(
        id=f"r-{n}",
        decision_id=f"d-{n}",
        model=f"m{n}",
        launcher=str(spec["kind"]),
        launcher_spec=spec,
        job_name=name,
        evaluation_job=f"{name}-evaluate",
        created_at=now,
        state_since=now,
        state=RetrainingState.TRAINING,
        external_run_id=run,
    )
    record = DecisionRecord(retraining.decision_id, f"m{n}", "retrain", now, "bench", "0", {}, {}, (), retraining.id)
    ledger.record_decision(record, retraining, "bench")


# --- anew's worker ----------------------------------------------------------------------------------------


async def work(ticks: Path) -> None:
    """Tick for ever as the flow `reconcile` does, and note how long each took."""
    from anew.engine.reconcile import reconcile
    from flows._engine import run

    for number in itertools.count():
        began = time.monotonic()
        report = await run(reconcile)
        took = time.monotonic() - began
        memory = round(_memory(os.getpid()), 1)
        line = {"tick": number, "took": round(took, 2), "memory": memory, "problems": report.problems[:3]}
        with ticks.open("a") as file:
            file.write(json.dumps(line) + "\n")
        await asyncio.sleep(max(0.0, _TICK_SECONDS - took))


def _worker_command(ticks: Path) -> list[str]:
    code = f"import asyncio, pathlib; from bench.waiting import work; asyncio.run(work(pathlib.Path('{ticks}')))"
    return [sys.executable, "-c", code]


def _idle_memory(processes: Processes, ledger: Ledger, ticks: Path) -> float:
    """Megabytes of a worker that has seen the first runs end, and has ticked twice since."""
    processes.start("idle worker", _worker_command(ticks))
    processes.wait_until("idle worker", lambda: ledger.count_open_retrainings() == 0, "the first runs have ended", 600)
    seen = _lines(ticks)
    processes.wait_until("idle worker", lambda: _lines(ticks) > seen + 2, "the worker has ticked twice", 600)
    memory = _memory(processes.pids()["idle worker"])
    processes.stop("idle worker")
    return memory


def _lines(file: Path) -> int:
    return len(file.read_text().splitlines()) if file.is_file() else 0


def _memory(pid: int) -> float:
    # Its own alone: its part of what it shares with other Pythons would change as those come and go.
    return psutil.Process(pid).memory_full_info().uss / 1e6


# --- what came of it --------------------------------------------------------------------------------------


def _print(azure: LocalAzure, ledger: Ledger, runs: int, began: datetime, base: float, memory: float) -> None:
    ended = _ended(azure, began)
    lags = sorted(_lags(ledger.retrainings(limit=runs), ended))
    reads = sum(minute["reads"] + minute["queries"] for minute in azure.arm_requests(began)) / MINUTES
    share = reads / (ARM_READS.per_second * 60)
    length = f"{_SHORTEST:.0f} to {_LONGEST:.0f} s"
    print(f"{runs} awaited runs of {length}, {MINUTES} minutes, no events, a tick every {_TICK_SECONDS} s")
    print(f"worker's memory  {base:.0f} MB when the first few have ended, {memory:.0f} MB with all: ", end="")
    print(f"{(memory - base) / runs * 1000:.2f} MB for 1,000 runs")
    print(f"ARM reads        {reads:.0f} a minute, queries of Data Factory among them: {share:.0%} of the refill")
    print(f"ends seen        {len(lags)} of {len(ended)}; the others ended within the last tick", end="")
    print(f"; p50 {statistics.median(lags):.0f} s, p95 {lags[int(len(lags) * 0.95)]:.0f} s after the end")


def _print_ticks(file: Path) -> None:
    ticks = [json.loads(line) for line in file.read_text().splitlines()]
    took = [float(each["took"]) for each in ticks]
    print(f"a tick takes     median {statistics.median(took):.1f} s, longest {max(took):.1f} s, {len(took)} ticks")
    memory = " ".join(f"{each['memory']:.0f}" for each in ticks[:: -(-len(ticks) // 10)])
    print(f"memory in turn   {memory} MB, from the first tick to the last")
    for each in ticks:
        if each["problems"]:
            print(f"  tick {each['tick']}: {each['problems']}")


def _ended(azure: LocalAzure, began: datetime) -> dict[str, datetime]:
    """When each external run ended that did so since then; a pipeline's wait is a run without a job."""
    found: dict[str, datetime] = {}
    for entry in azure.journal():
        if entry["action"] in {"pipeline_run.ended", "job.ended"}:
            at = datetime.fromisoformat(entry["at"])
            if at > began:
                found[str(entry.get("run_id") or entry.get("name"))] = at
    return found


def _lags(known: Sequence[Retraining], ended: dict[str, datetime]) -> Iterator[float]:
    for item in known:
        at = ended.get(item.external_run_id or "")
        if at is not None and item.state is not RetrainingState.TRAINING:
            yield max(0.0, (item.state_since - at) / timedelta(seconds=1))
