"""Plain Prefect doing what anew does: a drift event posted, an automation, a flow in a process, a pipeline run created.

The server keeps its state in SQLite, Prefect's default. `--json` prints JSON instead of a table, `--bursts=20,100`
says how many events come at once; an empty list leaves bursts out.
"""

import json
import os
import tempfile
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.peers.figures import machine, percentile
from bench.peers.options import option, wants_json
from bench.peers.prefect_stack import TUNINGS, PrefectStack, Tuning, run_prefect

_WARM_UP = 1
_IDLE = 7
_SETTLE_SECONDS = 3.0
_CALM_SECONDS = 60
_LOOK_SECONDS = 10.0
_PATIENCE_SECONDS = 180  # without a new run: what has not come by then is taken for lost


@dataclass(frozen=True)
class Row:
    """From event posted to run created, in seconds, and how many runs were created a second.

    The load average is that before the events: above one or so, somebody else was at work, and the row says little.
    """

    tuning: str
    events: int
    at_once: bool
    load_average: float
    launched: int
    p50: float
    p95: float
    last: float
    runs_per_second: float | None


def main() -> None:
    """Print each tuning, idle and in bursts."""
    bursts = [int(size) for size in option("--bursts", "20,100").split(",") if size]
    under = machine()
    rows = [row for tuning in TUNINGS for row in _measure(tuning, bursts)]
    if wants_json():
        print(json.dumps({"machine": under, "rows": [asdict(row) for row in rows]}))
        return
    print(f"event posted -> pipeline run created, Prefect on SQLite, {under}")
    for tuning in TUNINGS:
        print(f"{tuning.name}: {tuning.says}")
    print(f"{'':<8} {'events':>14} {'load':>5} {'launched':>8} {'p50 s':>7} {'p95 s':>7} {'last s':>7} {'runs/s':>7}")
    for row in rows:
        events = f"{row.events} {'at once' if row.at_once else 'idle'}"
        rate = f"{row.runs_per_second:7.2f}" if row.runs_per_second else ""
        seconds = f"{row.p50:7.1f} {row.p95:7.1f} {row.last:7.1f}"
        print(f"{row.tuning:<8} {events:>14} {row.load_average:5.1f} {row.launched:>8} {seconds} {rate}")


def _measure(tuning: Tuning, bursts: Sequence[int]) -> list[Row]:
    with tempfile.TemporaryDirectory() as name, run_prefect(Path(name), tuning) as stack:
        # Spread over the worker's interval: a run starts at a look for work, so equal pauses would all meet one phase.
        pauses = [0.0] * _WARM_UP + [n * _LOOK_SECONDS / _IDLE for n in range(_IDLE)]
        load = os.getloadavg()[0]
        singles = [_post_and_wait(stack, tuning, 1, pause) for pause in pauses][_WARM_UP:]
        return [
            _row(tuning, [delay for delays in singles for delay in delays], _IDLE, load, at_once=False),
            *(_measure_burst(stack, tuning, size) for size in bursts),
        ]


def _measure_burst(stack: PrefectStack, tuning: Tuning, size: int) -> Row:
    # The burst before leaves a load behind that is its own.
    time.sleep(_CALM_SECONDS)
    load = os.getloadavg()[0]
    return _row(tuning, _post_and_wait(stack, tuning, size, 0), size, load, at_once=True)


def _post_and_wait(stack: PrefectStack, tuning: Tuning, count: int, pause: float) -> list[float]:
    """The seconds from posting count events, in one request, to the run of each that came."""
    time.sleep(_SETTLE_SECONDS + pause)
    samples = [str(uuid.uuid4()) for _ in range(count)]
    posted = datetime.now(UTC)
    stack.post("/events", [_event(tuning, sample) for sample in samples])
    created: dict[str, datetime] = {}
    news = time.monotonic()
    while len(created) < count and time.monotonic() < news + _PATIENCE_SECONDS:
        time.sleep(0.2)
        found = {sample: at for sample, at in stack.azure.created().items() if sample in samples}
        news = time.monotonic() if len(found) > len(created) else news
        created = found
    return [(at - posted).total_seconds() for at in created.values()]


def _event(tuning: Tuning, sample: str) -> dict[str, object]:
    return {
        "id": str(uuid.uuid4()),
        "occurred": datetime.now(UTC).isoformat(),
        "event": f"drift.{tuning.name}",
        "resource": {"prefect.resource.id": "peers.model"},
        "payload": {"sample": sample, "drift": 0.9},
    }


def _row(tuning: Tuning, delays: Sequence[float], events: int, load: float, *, at_once: bool) -> Row:
    last = max(delays, default=float("nan"))
    rate = len(delays) / last if at_once and delays else None
    p50, p95 = percentile(delays, 50), percentile(delays, 95)
    return Row(tuning.name, events, at_once, load, len(delays), p50, p95, last, rate)
