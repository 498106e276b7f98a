"""`python -m bench intake`: events a second that the webhook keeps durably, and how long an acknowledgement takes.

Beside them in the same run: the floor, which is the same server with a handler that reads the body and answers; and
the bare rate, at which the same rows go into the same table by sqlite3 alone, one transaction a batch. Every commit
waits for the disk (`synchronous=FULL`).
"""

import asyncio
import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from anew.demo.processes import free_port
from bench.intake_server import SECRET
from bench.load import closed_loop, open_loop, request

_SINGLES = 8000
_CONNECTIONS = 64
_RATE = 500  # requests a second
_BATCHES = ((100, 1000, 16), (5000, 24, 3))  # events in a batch, batches, batches at once
_ROUNDS = 5  # of batches: the medians are printed
_WORKSPACE = (
    "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg1"
    "/providers/Microsoft.MachineLearningServices/workspaces/ws1"
)


def main() -> None:
    """Print rates, latencies and their ratios."""
    # On the disk that the repository is on: /tmp may be memory.
    Path(".anew").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=".anew") as name:
        folder = Path(name)
        with _server("floor", folder / "floor.db") as port:
            floor = _rate([port], 1, _SINGLES, _CONNECTIONS)
            _print_rate("floor, single events", floor)
        with _server("webhook", folder / "webhook.db") as port:
            singles = _rate([port], 1, _SINGLES, _CONNECTIONS)
            _print_rate("single events", singles, floor, "of the floor")
            _print_latency(port)
        for batch in _BATCHES:
            rounds = [_batches(folder / f"{batch[0]}-{number}", *batch) for number in range(_ROUNDS)]
            one, two, bare = (statistics.median(rates) for rates in zip(*rounds, strict=True))
            _print_rate(f"batches of {batch[0]}", one, bare, "of bare SQLite")
            _print_rate(" to two webhooks", two, bare, "of bare SQLite")


def _batches(folder: Path, size: int, count: int, at_once: int) -> tuple[float, float, float]:
    """Events a second: of one webhook, of two on one ledger, and bare.

    Each begins with an empty table, as a longer index costs more.
    """
    folder.mkdir()
    one, two = folder / "one.db", folder / "two.db"
    with _server("webhook", one) as port:
        alone = _rate([port], size, count, at_once) * size
    with _server("webhook", two) as first, _server("webhook", two) as second:
        together = _rate([first, second], size, count, 2 * at_once) * size
    return alone, together, _bare_rate(one, size, count)


def _print_rate(what: str, rate: float, beside: float | None = None, of: str = "") -> None:
    ratio = "" if beside is None else f"   {rate / beside:.2f} {of} ({beside:,.0f})"
    print(f"{what:<22}{rate:10,.0f} events/s{ratio}", flush=True)


def _print_latency(port: int) -> None:
    took = sorted(asyncio.run(open_loop(port, _requests("open", 1, 20 * _RATE), _RATE)))
    p50, p99 = (took[int(len(took) * share)] * 1000 for share in (0.5, 0.99))
    print(
        f"{f'open loop, {_RATE}/s':<22} p50 {p50:.1f} ms, p99 {p99:.1f} ms, worst {took[-1] * 1000:.1f} ms", flush=True
    )


def _rate(ports: Sequence[int], size: int, count: int, connections: int) -> float:
    asyncio.run(closed_loop(ports, _requests(f"warm-{size}", size, max(2, count // 10)), connections))
    return asyncio.run(closed_loop(ports, _requests(f"closed-{size}", size, count), connections))


def _requests(tag: str, size: int, count: int) -> list[bytes]:
    return [
        request(json.dumps([_event(f"{tag}-{number}-{item}") for item in range(size)]).encode(), SECRET)
        for number in range(count)
    ]


def _event(run: str) -> dict[str, object]:
    return {
        "id": f"event-{run}",
        "topic": _WORKSPACE,
        "eventType": "Microsoft.MachineLearningServices.DatasetDriftDetected",
        "subject": f"datadrift/01d29aa4-e6a4-470a-9ef3-66660d21f8ef/run/{run}",
        "eventTime": "2026-07-14T03:41:12.1234567Z",
        "dataVersion": "1.0",
        "metadataVersion": "1",
        "data": {
            "dataDriftId": "01d29aa4-e6a4-470a-9ef3-66660d21f8ef",
            "dataDriftName": "myDriftMonitor",
            "runId": run,
            "baseDatasetId": "3c56d136-0f64-4657-a0e8-5162089a88a3",
            "targetDatasetId": "d7e74d2e-c972-4266-b5fb-6c9c182d2a74",
            "driftCoefficient": 0.8350349068479208,
            "startTime": "2026-07-04T00:00:00+00:00",
            "endTime": "2026-07-05T00:00:00+00:00",
        },
    }


def _bare_rate(ledger: Path, size: int, count: int) -> float:
    """The rows the webhook just wrote, copied into the empty table of a ledger beside it, with its indexes."""
    database = sqlite3.connect(ledger, isolation_level=None)
    rows = database.execute(
        "SELECT * FROM inbox WHERE key LIKE ? LIMIT ?", (f"%closed-{size}-%", size * count)
    ).fetchall()
    schema = [
        sql for (sql,) in database.execute("SELECT sql FROM sqlite_master WHERE tbl_name = 'inbox' AND sql NOTNULL")
    ]
    database.close()
    bare = sqlite3.connect(ledger.with_suffix(".bare.db"), isolation_level=None)
    for statement in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", *schema):
        bare.execute(statement)
    insert = f"INSERT INTO inbox VALUES ({', '.join('?' * len(rows[0]))})"
    began = time.perf_counter()
    for start in range(0, len(rows), size):
        bare.execute("BEGIN IMMEDIATE")
        bare.executemany(insert, rows[start : start + size])
        bare.execute("COMMIT")
    took = time.perf_counter() - began
    bare.close()
    return len(rows) / took


@contextmanager
def _server(kind: str, ledger: Path) -> Generator[int]:
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "bench.intake_server", kind, str(port), str(ledger)])
    try:
        _wait(port)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            asyncio.run(closed_loop([port], _requests("first", 1, 1), 1))
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


if __name__ == "__main__":
    main()
