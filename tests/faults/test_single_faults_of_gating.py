"""Whatever single thing goes wrong while a candidate is held, asked about and approved, it is registered once.

As in test_single_faults, the points are enumerated from a history in which nothing goes wrong.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any, cast

import pytest
import sqlalchemy as sa

from anew.adapters.ledger.database import create_engine
from anew.adapters.memory.azure import Crash
from anew.adapters.memory.evidence import MemoryNotifier
from anew.core.retrainings.lifecycle import ApprovalDecision, RetrainingState
from anew.engine.base.ledger import Ledger
from anew.engine.promotion.approving import decide_approval
from anew.errors import AzureUnavailable
from tests.builders import EVALUATE_JOB, MODEL, Play, drift_event, evaluation, fresh_ledger, make_engine, policy, serve
from tests.faults.fallible import FallibleLedger
from tests.faults.test_single_faults import faults_of

TICKS = 60
GATE = {
    "kind": "non_inferiority",
    "inconclusive": {"keep_for": "3d", "every": "6h"},
    "approval": {"timeout": "3d"},
}


@cache
def _engine() -> sa.Engine:
    return create_engine("sqlite://")


def prepared() -> Play:
    """Version 3 serves, its drift is known to Azure, and the rows are too few to tell at first."""
    play = Play(ledger=fresh_ledger(_engine()))
    serve(play.azure, "3")
    play.azure.happened.append(drift_event())
    play.azure.endings[EVALUATE_JOB] = evaluation(better=3, worse=3, rows=150)
    ledger = cast(Ledger, FallibleLedger(play.ledger, play.azure))
    play.engine = make_engine(play.azure, ledger, policy(gate=GATE))
    return play


def run_to_the_end(play: Play) -> Play:
    """Tick until it is registered; a process that died is followed by another, and a person asks until it is done."""
    for _ in range(TICKS):
        try:
            _act(play)
        except Crash:
            play.azure.restart()
        except AzureUnavailable:
            pass
        if play.ledger.retrainings([RetrainingState.REGISTERED]):
            return play
    raise AssertionError(f"stuck: {play.ledger.retrainings()}")


def _act(play: Play) -> None:
    states = {item.state for item in play.ledger.retrainings()}
    if RetrainingState.AWAITING_DATA in states:
        play.azure.endings[EVALUATE_JOB] = evaluation(data_hash="newer")
        play.tick(hours=6)
    elif RetrainingState.AWAITING_APPROVAL in states:
        decide_approval(play.engine.ledger, MODEL, True, "anna", "looks right", play.now)
    else:
        play.tick()


@cache
def flawless_calls() -> tuple[str, ...]:
    return tuple(run_to_the_end(prepared()).azure.calls)


def points() -> Iterator[Any]:
    calls = flawless_calls()
    registered = max(index for index, name in enumerate(calls) if name == "ledger.save_retraining")
    for index, name in enumerate(calls[: registered + 2]):
        for fault in faults_of(name):
            yield pytest.param(index, fault, id=f"{index}-{name}-{fault}")


@pytest.mark.parametrize(("index", "fault"), tuple(points()))
def test_single_fault_registers_once(index: int, fault: Any) -> None:
    """A single fault at any call still leads to one approval and one registered version."""
    play = prepared()
    play.azure.plan(index, fault)

    run_to_the_end(play)

    azure, retraining = play.azure, play.retraining
    assert azure.calls[index] == flawless_calls()[index], "the fault came where it was planned"
    assert (retraining.state, retraining.new_version, retraining.evaluations) == (RetrainingState.REGISTERED, "4", 2)
    assert (retraining.approval, retraining.approval_by) == (ApprovalDecision.APPROVED, "anna")
    assert {name: azure.effects["job", name] for name in azure.jobs} == dict.fromkeys(azure.jobs, 1)
    assert len(azure.jobs) == 3, "a training and two evaluations"
    assert azure.effects["version", f"{MODEL}:4"] == 1
    assert len(azure.models) == 2
    assert isinstance(play.engine.notifier, MemoryNotifier)
    assert sum(news.kind == "approval.requested" for news in play.engine.notifier.sent) <= 1
    said = [row.what for row in play.ledger.audit(retraining.id)]
    assert [said.count(what) for what in ("inconclusive", "retried", "asked", "approved")] == [1, 1, 1, 1]
