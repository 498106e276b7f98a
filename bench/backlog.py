"""`python -m bench backlog`: what a ledger with many waiting events costs those who look at it, on SQLite.

Beside each in the same run: reading every waiting event, which is what a pass of the relay would do without its
groups; and the same rows read and marked by sqlite3 alone, which is the least that a claim can cost.
"""

import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from anew.adapters.ledger import SqlLedger
from anew.adapters.memory.flows import MemoryFlows
from anew.core.events.event import Cause, Drift, Event, EventType, Workspace
from anew.core.events.handling import CAUSES_OF
from anew.engine.inbox.intake import receive
from anew.engine.inbox.relay import relay_once

_WAITING = (1_000, 40_000)
_CLAIM = 5_000  # as many as `retrain` claims
_ROUNDS = 5
_BATCH = 5_000
_NOW = datetime(2026, 7, 14, 12, tzinfo=UTC)


def main() -> None:
    """Print medians in ms: a pass of the relay, and a claim, each beside its baseline."""
    Path(".anew").mkdir(exist_ok=True)  # on the disk that the repository is on: /tmp may be memory
    for count in _WAITING:
        with tempfile.TemporaryDirectory(dir=".anew") as folder:
            path = Path(folder) / "ledger.db"
            ledger = SqlLedger.open(f"sqlite:///{path}")
            _fill(ledger, count)
            _relay(ledger, count)
            _claim(ledger, path, count)


def _fill(ledger: SqlLedger, count: int) -> None:
    for start in range(0, count, _BATCH):
        receive(ledger, [_drift(f"run-{n}") for n in range(start, min(count, start + _BATCH))], _NOW)


def _relay(ledger: SqlLedger, count: int) -> None:
    flows = MemoryFlows()
    relay_once(ledger, flows, _NOW)  # hints at them all: what comes after is what each second costs
    soon = _NOW + timedelta(seconds=1)
    every = [cause for causes in CAUSES_OF.values() for cause in causes]
    _print(
        f"relay, {count:,} waiting",
        _median(lambda: relay_once(ledger, flows, soon)),
        _median(lambda: ledger.unsettled(every)),
        "of reading them all",
    )


def _claim(ledger: SqlLedger, path: Path, count: int) -> None:
    lease = timedelta(minutes=5)
    claimed: list[str] = []

    def claim() -> None:
        claimed[:] = [entry.key for entry in ledger.lease([Cause.DRIFT], _NOW, lease, _CLAIM)]

    took = _median(claim, after=lambda: ledger.release(claimed))
    _print(f"claim, {len(claimed):,} of {count:,}", took, _bare_claim(path, len(claimed)), "times bare SQLite")


def _bare_claim(path: Path, limit: int) -> float:
    """Reads the first *limit* rows and marks them, in one durable transaction; in ms."""
    bare = sqlite3.connect(path, isolation_level=None)
    bare.execute("PRAGMA synchronous=FULL")

    def claim() -> None:
        bare.execute("BEGIN IMMEDIATE")
        rows = bare.execute(
            "SELECT seq, * FROM inbox WHERE settled_at IS NULL AND leased_until IS NULL ORDER BY seq LIMIT ?", (limit,)
        ).fetchall()
        bare.executemany("UPDATE inbox SET leased_until = ? WHERE seq = ?", [("2026-07-14", row[0]) for row in rows])
        bare.execute("COMMIT")

    took = _median(claim, after=lambda: bare.execute("UPDATE inbox SET leased_until = NULL"))
    bare.close()
    return took


def _median(what: Callable[[], object], after: Callable[[], object] = lambda: None) -> float:
    """In ms; *after* is not counted."""
    took: list[float] = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        what()
        took.append((time.perf_counter() - began) * 1000)
        after()
    return statistics.median(took)


def _print(what: str, took: float, beside: float, of: str) -> None:
    print(f"{what:<26}{took:9,.1f} ms   {took / beside:.2f} {of} ({beside:,.1f})", flush=True)


def _drift(run_id: str) -> Event:
    return Event(
        EventType.DATASET_DRIFT_DETECTED,
        f"event-{run_id}",
        Workspace("00000000-0000-0000-0000-000000000001", "rg1", "ws1"),
        f"datadrift/d1/run/{run_id}",
        _NOW,
        run_id=run_id,
        drift=Drift("monitor", coefficient=0.8),
        cause=Cause.DRIFT,
    )


if __name__ == "__main__":
    main()
