"""How many decisions a second one core makes, beside the floor: the same comparisons as one bare Python expression."""

import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from anew.adapters.policy_folder import load_policies
from anew.core.decisions.decide import decide, signals_of
from anew.core.events.event import Cause, Drift, Event, EventType, Workspace
from anew.core.evidence.history import Attempt, AttemptState, History
from anew.core.evidence.signals import Evidence, Signal

_DECISIONS = 20_000
_ROUNDS = 5
_NOW = datetime(2026, 7, 14, 12, tzinfo=UTC)


def main() -> None:
    """Print the median, and how many times the bare comparison's time that is."""
    policies = load_policies(Path("policies"))
    compiled = policies.compiled("elec2")
    event = Event(
        EventType.DATASET_DRIFT_DETECTED,
        "event",
        Workspace("s", "g", "w"),
        "datadrift/m/run/r",
        _NOW,
        run_id="r",
        drift=Drift("elec2-drift", coefficient=0.8),
        cause=Cause.DRIFT,
    )
    accuracy = Signal("accuracy", 0.74, "log_analytics", _NOW)
    history = History((Attempt("r-1", _NOW - timedelta(days=3), AttemptState.REGISTERED),))

    def once() -> object:
        return decide(compiled, Evidence((*signals_of(event), accuracy)), history, _NOW)

    drift, day = 0.8, timedelta(days=1)

    def bare() -> object:
        return (
            drift > 0.7 and accuracy.value is not None and accuracy.value < 0.76 and _NOW - history.attempts[0].at > day
        )

    rate = _rate(once)
    print(f"policy x event decisions {rate:,.0f} a second per core, {_rate(bare) / rate:.0f} times the bare comparison")


def _rate(what: Callable[[], object]) -> float:
    rates: list[float] = []
    for _ in range(_ROUNDS):
        began = time.process_time()  # of this process only: what else runs on the machine does not count
        for _ in range(_DECISIONS):
            what()
        rates.append(_DECISIONS / (time.process_time() - began))
    return statistics.median(rates)
