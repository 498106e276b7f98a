"""What awaiting pipeline runs costs the rivals: memory, control-plane reads, and how late they see an end.

Prefect waits in a flow run, which is a process; eight are measured, and the figure is that of one. Airflow waits in the
triggerer, `--runs=N` of them (20). Up to _BY_OPERATOR the operator itself launches and defers, in a process a task;
beyond, the rows its deferral leaves are written directly, which the triggerer cannot tell, and only triggers are timed.
`--only=prefect` or `--only=airflow` measures one of them, `--json` prints JSON.
"""

import json
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from anew.demo.processes import Processes
from bench.peers.airflow_stack import DAG, WARM_DAG, Airflow, prepare_venv, run_airflow
from bench.peers.azure import Azure
from bench.peers.figures import machine, percentile, pss
from bench.peers.options import option, wants_json
from bench.peers.prefect_stack import DEFAULT, PrefectStack, run_prefect

_PREFECT_RUNS = 8
_BY_OPERATOR = 20
_LOOK_SECONDS = 60
_SETTLE_SECONDS = 30
_WINDOW_SECONDS = 120
_LAUNCH_SECONDS = 120
_GOLDEN = 0.618034  # its multiples spread evenly, in an order that has nothing to do with the launches'
_PATIENCE_SECONDS = 1800


@dataclass(frozen=True)
class Lag:
    """Seconds after the end of the runs."""

    samples: int
    p50: float
    p95: float

    def __str__(self) -> str:
        return f"p50 {self.p50:.1f} s, p95 {self.p95:.1f} s ({self.samples} samples)"


@dataclass(frozen=True)
class Row:
    """What a rival needed while it awaited a number of runs. Megabytes are PSS, a process with its children."""

    rival: str
    awaited: int
    idle_megabytes: Mapping[str, float]
    megabytes: Mapping[str, float]
    reads_per_minute: float
    seen: Lag
    resumed: Lag | None
    gave_up: int = 0

    @property
    def total(self) -> float:
        """Megabytes of all processes."""
        return sum(self.megabytes.values())

    @property
    def per_run(self) -> float:
        """Megabytes that each awaited run added."""
        return (self.total - sum(self.idle_megabytes.values())) / self.awaited


def main() -> None:
    """Print what each rival needed."""
    versions, rows = machine(), list[Row]()
    if option("--only", "prefect") == "prefect":
        rows.append(_prefect())
    if option("--only", "airflow") == "airflow":
        versions |= prepare_venv()
        rows.append(_airflow(int(option("--runs", "20"))))
    if wants_json():
        found = [asdict(row) | {"total_megabytes": row.total, "megabytes_per_run": row.per_run} for row in rows]
        print(json.dumps({"machine": versions, "rows": found}))
        return
    print(f"awaiting pipeline runs, looked at every {_LOOK_SECONDS} s, {versions}")
    for row in rows:
        idle = row.idle_megabytes
        parts = ", ".join(f"{name} {idle[name]:.0f} to {size:.0f}" for name, size in row.megabytes.items())
        print(f"{row.rival}, {row.awaited} runs awaited")
        print(f"  {row.total:.0f} MB ({parts}); each run added {row.per_run:.2f} MB")
        print(f"  {row.reads_per_minute:.0f} reads a minute")
        print(f"  end seen after {row.seen}, work resumed after {row.resumed or 'a time not measured'}")
        if row.gave_up:
            print(f"  {row.gave_up} triggers gave up on a run that had not ended")


def _prefect() -> Row:
    with tempfile.TemporaryDirectory() as name, run_prefect(Path(name), DEFAULT) as stack:
        idle = pss(stack.processes.pids())
        flow_runs = _start_waiting_flows(stack)
        _until(lambda: len(stack.azure.created()) == _PREFECT_RUNS)
        reads = _reads_per_minute(stack.azure)
        busy = pss(stack.processes.pids())
        _until(lambda: len(_flow_ends(stack, flow_runs)) == _PREFECT_RUNS)
        ends = _flow_ends(stack, flow_runs)
        lag = _lag(stack.azure, {run: ends[sample] for sample, run in stack.azure.runs().items()})
        return Row("Prefect, a flow run each", _PREFECT_RUNS, idle, busy, reads, lag, lag)


def _start_waiting_flows(stack: PrefectStack) -> dict[str, str]:
    deployment = stack.api.get("/deployments/name/retrain-and-wait/default").raise_for_status().json()["id"]
    started: dict[str, str] = {}
    for n, seconds in enumerate(_lasting(_LAUNCH_SECONDS, _PREFECT_RUNS)):
        body = {"parameters": {"sample": str(n), "seconds": seconds}, "state": {"type": "SCHEDULED"}}
        answer = stack.post(f"/deployments/{deployment}/create_flow_run", body)
        started[answer.json()["id"]] = str(n)
    return started


def _flow_ends(stack: PrefectStack, flow_runs: Mapping[str, str]) -> dict[str, datetime]:
    found = {sample: stack.api.get(f"/flow_runs/{run}").json().get("end_time") for run, sample in flow_runs.items()}
    return {sample: datetime.fromisoformat(end) for sample, end in found.items() if end}


def _airflow(runs: int) -> Row:
    launch_seconds = _LAUNCH_SECONDS + (10 * runs if runs <= _BY_OPERATOR else 0)
    lasting = _lasting(launch_seconds, runs)
    with _start_airflow(lasting) as (airflow, azure):
        airflow.trigger(WARM_DAG)
        _until(lambda: airflow.succeeded(WARM_DAG) == 1)
        idle = pss(airflow.processes.pids())
        if runs <= _BY_OPERATOR:
            airflow.trigger(DAG)
        else:
            airflow.defer(DAG, [azure.create_run(str(n), seconds) for n, seconds in enumerate(lasting)])
        _until(lambda: airflow.waiting() == runs)
        reads = _reads_per_minute(azure)
        busy = pss(airflow.processes.pids())
        _until(lambda: airflow.succeeded(DAG) == runs if runs <= _BY_OPERATOR else airflow.waiting() == 0)
        fired = airflow.fired()
        seen = _lag(azure, {run: fired[sample] for sample, run in azure.runs().items() if sample in fired})
        if runs > _BY_OPERATOR:
            return Row("Airflow, deferred by writing its rows", runs, idle, busy, reads, seen, None, airflow.gave_up())
        resumed = _lag(azure, airflow.resumed())
        return Row("Airflow, deferred by the operator", runs, idle, busy, reads, seen, resumed, airflow.gave_up())


@contextmanager
def _start_airflow(lasting: Sequence[int]) -> Generator[tuple[Airflow, Azure]]:
    # The first awaited run has the triggerer import the SDK: one is awaited before anything is measured.
    dags = {
        WARM_DAG: [{"sample": "warm", "seconds": 5}],
        DAG: [{"sample": str(n), "seconds": seconds} for n, seconds in enumerate(lasting)],
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "logs").mkdir()
        with Processes(folder / "logs", {}) as processes:
            azure = Azure(processes, folder / "azure")
            with run_airflow(folder, azure.url, dags) as airflow:
                yield airflow, azure


def _lasting(launch_seconds: int, count: int) -> list[int]:
    """How long each run lasts: over the launch and the window, its end anywhere between two looks."""
    least = launch_seconds + _SETTLE_SECONDS + _WINDOW_SECONDS
    return [round(least + n * _GOLDEN % 1 * _LOOK_SECONDS) for n in range(count)]


def _lag(azure: Azure, moments: Mapping[str, datetime]) -> Lag:
    ended = azure.ended()
    lags = [(moment - ended[run]).total_seconds() for run, moment in moments.items()]
    return Lag(len(lags), percentile(lags, 50), percentile(lags, 95))


def _reads_per_minute(azure: Azure) -> float:
    time.sleep(_SETTLE_SECONDS)
    before = azure.reads()
    time.sleep(_WINDOW_SECONDS)
    return (azure.reads() - before) * 60 / _WINDOW_SECONDS


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError("a rival did not get there in time")
        time.sleep(1)
