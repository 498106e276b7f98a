"""Whatever single thing goes wrong during a retraining, its end is the same, and nothing is done twice.

The points are enumerated from a history in which nothing goes wrong: every call of an Azure port and of the ledger, in
order, each with every way in which it can fail. Dying after a call is dying before the next one, for nothing but pure
code lies between them, and a lost answer of a call that only reads is a lost request: neither is counted twice.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any, cast

import pytest
import sqlalchemy as sa

from anew.adapters.ledger.database import create_engine
from anew.adapters.memory.azure import Crash, Fault
from anew.core.retrainings.lifecycle import RetrainingState
from anew.core.rollouts.lifecycle import RolloutState
from anew.core.rollouts.naming import deployment_name
from anew.engine.base.ledger import Ledger
from tests.builders import ENDPOINT, MODEL, Play, drift_event, fresh_ledger, make_engine, serve
from tests.faults.fallible import FallibleLedger

EFFECTS = frozenset(
    {
        "launcher.launch",
        "jobs.submit",
        "registry.register",
        "endpoints.ensure",
        "endpoints.create_deployment",
        "endpoints.set_traffic",
    }
)
TICKS = 40


@cache
def _engine() -> sa.Engine:
    return create_engine("sqlite://")


def prepared() -> Play:
    """Version 3 serves, its drift is known to Azure, and nobody was told."""
    play = Play(ledger=fresh_ledger(_engine()))
    serve(play.azure, "3")
    play.azure.happened.append(drift_event())
    play.engine = make_engine(play.azure, cast(Ledger, FallibleLedger(play.ledger, play.azure)))
    return play


def run_to_the_end(play: Play) -> Play:
    """Tick until the rollout is live; a process that died is followed by another."""
    for _ in range(TICKS):
        try:
            play.tick()
        except Crash:
            play.azure.restart()
        if play.ledger.rollouts([RolloutState.LIVE]):
            return play
    raise AssertionError(f"stuck: {play.ledger.retrainings()} {play.ledger.rollouts()}")


@cache
def flawless_calls() -> tuple[str, ...]:
    return tuple(run_to_the_end(prepared()).azure.calls)


def points() -> Iterator[Any]:
    for index, name in enumerate(flawless_calls()):
        for fault in faults_of(name):
            yield pytest.param(index, fault, id=f"{index}-{name}-{fault}")
    last = len(flawless_calls()) - 1
    yield pytest.param(last, Fault.CRASH_AFTER, id=f"{last}-{flawless_calls()[last]}-{Fault.CRASH_AFTER}")


def faults_of(name: str) -> tuple[Fault, ...]:
    if name.startswith("ledger."):
        return (Fault.CRASH_BEFORE,)
    if name in EFFECTS:
        return (Fault.CRASH_BEFORE, Fault.LOST_REQUEST, Fault.LOST_ANSWER)
    return (Fault.CRASH_BEFORE, Fault.LOST_REQUEST)


@pytest.mark.parametrize(("index", "fault"), tuple(points()))
def test_single_fault_keeps_the_result(index: int, fault: Fault) -> None:
    """A single fault at any call leads to the same result, with each effect once."""
    play = prepared()
    play.azure.plan(index, fault)

    run_to_the_end(play)

    azure, retraining, rollout = play.azure, play.retraining, play.rollout
    assert azure.calls[index] == flawless_calls()[index], "the fault came where it was planned"
    assert (retraining.state, retraining.new_version) == (RetrainingState.REGISTERED, "4")
    assert (rollout.state, rollout.version) == (RolloutState.LIVE, "4")
    assert azure.endpoints[ENDPOINT].traffic[deployment_name(MODEL, "4")] == 100
    assert azure.effects["run", retraining.id] == 1
    assert azure.effects["job", retraining.evaluation_job] == 1
    assert azure.effects["version", f"{MODEL}:4"] == 1
    assert azure.effects["deployment", f"{ENDPOINT}/{rollout.deployment}"] == 1
    assert len(azure.pipeline_runs) == 1
    assert len(azure.models) == 2
    assert len(play.ledger.decisions()) == 1
    assert all(entry.settled_at for entry in play.ledger.entries())


def test_points_include_every_effect() -> None:
    """The fault points include every write to Azure and to the ledger."""
    writes = {
        "ledger.receive",
        "ledger.lease",
        "ledger.record_decision",
        "ledger.save_retraining",
        "ledger.add_rollout",
        "ledger.lease_endpoint",
        "ledger.save_rollout",
    }

    assert writes | EFFECTS <= set(flawless_calls())
