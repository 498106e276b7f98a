"""Drift right after a release brings the version before back: once, whoever dies, and then it retrains as usual."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from anew.adapters.memory.azure import Crash, Fault
from anew.core.decisions.decision import Outcome
from anew.core.rollouts.lifecycle import RolloutKind, RolloutState
from anew.core.rollouts.naming import deployment_name
from anew.engine.base.ports import ModelVersion
from anew.engine.decisions.decide_pending import decide_pending
from anew.engine.decisions.request import request_retraining
from anew.engine.history.trace import trace
from anew.engine.rollouts.rollback import request_rollback
from tests.builders import ENDPOINT, MODEL, PRODUCTION, Play, deploy_rule, drift_event, policy, registered_event

OLD, NEW = deployment_name(MODEL, "1"), deployment_name(MODEL, "2")
WRITES = ("traffic", ENDPOINT)


def released(*versions: str, bake: str = "1h", limits: dict[str, Any] | None = None, **changes: Any) -> Play:
    """1 was live, and 2 has just taken all traffic; with a bake, 2 bakes."""
    limits = {"cooldown": "0s", "prefer_rollback": "6h"} | (limits or {})
    play = Play().with_policies(policy(deploy=[deploy_rule(bake=bake)], limits=limits, **changes))
    for version in versions or ("1", "2"):
        play.tick(hours=2)
        play.azure.models[MODEL, version] = ModelVersion(MODEL, version, PRODUCTION, f"path-{version}")
        play.receive(registered_event(version, at=play.now))
        for _ in range(3):
            play.tick()
    return play


def drifts(play: Play, run: str = "after") -> None:
    play.receive(drift_event(run, at=play.now))


def traffic(play: Play) -> dict[str, int]:
    return {name: share for name, share in play.azure.endpoints[ENDPOINT].traffic.items() if share}


def outcomes(play: Play) -> list[str]:
    return [record.outcome for record in reversed(play.ledger.decisions())]


def settle_down(play: Play) -> None:
    for _ in range(5):
        play.tick()


def rollbacks(play: Play) -> list[str]:
    return [each.version for each in play.ledger.rollouts() if each.kind is RolloutKind.ROLLBACK]


def test_baking_version_is_rolled_back() -> None:
    """Drift rolls a baking version back in one traffic write and trains nothing."""
    play = released()
    assert traffic(play) == {NEW: 100}
    before = play.azure.effects[WRITES]

    drifts(play)
    settle_down(play)

    assert outcomes(play) == [Outcome.ROLL_BACK]
    assert traffic(play) == {OLD: 100}
    assert play.azure.effects[WRITES] == before + 1
    assert play.azure.pipeline_runs == {}


def test_live_version_is_rolled_back() -> None:
    """Drift rolls a live version back, and the rollout names the decision."""
    play = released(bake="0s")

    drifts(play)
    settle_down(play)

    assert traffic(play) == {OLD: 100}
    [rollback] = [each for each in play.ledger.rollouts() if each.kind is RolloutKind.ROLLBACK]
    [decision] = play.ledger.decisions()
    assert decision.leaves_version == "2"
    assert (rollback.request_reason or "").startswith(f"{decision.id}: roll_back: version 2 took all traffic")
    assert play.azure.pipeline_runs == {}


def test_drift_after_rollback_retrains() -> None:
    """Drift that persists after the rollback retrains."""
    play = released(bake="0s")
    drifts(play)
    settle_down(play)

    drifts(play, "again")
    play.tick()

    assert outcomes(play) == [Outcome.ROLL_BACK, Outcome.RETRAIN]
    assert len(play.azure.pipeline_runs) == 1
    assert traffic(play) == {OLD: 100}


def test_drift_during_rollback_holds() -> None:
    """Other drift during a rollback is a hold."""
    play = released(bake="0s")
    play.azure.down.add("endpoints.create_deployment")
    drifts(play)
    play.tick()

    drifts(play, "again")
    play.tick()

    assert outcomes(play) == [Outcome.ROLL_BACK, Outcome.HOLD]
    assert rollbacks(play) == ["1"]


def test_failed_rollback_is_not_repeated() -> None:
    """A failed rollback is not tried again, and the next drift retrains."""
    play = released(bake="0s")
    play.azure.broken.add(f"{MODEL}:1")
    drifts(play)
    settle_down(play)
    assert traffic(play) == {NEW: 100}

    drifts(play, "again")
    settle_down(play)

    assert outcomes(play) == [Outcome.ROLL_BACK, Outcome.RETRAIN]
    assert rollbacks(play) == ["1"]


def test_late_drift_retrains() -> None:
    """Drift later than `prefer_rollback` after the release retrains."""
    play = released(bake="0s")
    play.wait(hours=7)

    drifts(play)
    play.tick()

    assert outcomes(play) == [Outcome.RETRAIN]


def test_first_version_is_not_rolled_back() -> None:
    """Drift of the first version retrains, as no earlier version exists."""
    play = released("1", bake="0s")

    drifts(play)
    play.tick()

    assert outcomes(play) == [Outcome.RETRAIN]


def test_manual_traffic_is_no_release() -> None:
    """A version that got its traffic by hand is not rolled back."""
    play = released(bake="0s")
    play.azure.endpoints[ENDPOINT].traffic = {NEW: 0}
    play.tick()
    play.azure.endpoints[ENDPOINT].traffic = {NEW: 100}
    play.tick()

    drifts(play)
    play.tick()

    assert outcomes(play) == [Outcome.RETRAIN]


def test_shadow_policy_moves_nothing() -> None:
    """A shadow policy records a rollback and moves no traffic."""
    play = released(bake="0s", mode="shadow")

    drifts(play)
    settle_down(play)

    [decision] = play.ledger.decisions()
    assert (decision.outcome, decision.shadow, decision.leaves_version) == (Outcome.ROLL_BACK, True, None)
    assert traffic(play) == {NEW: 100}
    assert rollbacks(play) == []


def test_forced_request_retrains() -> None:
    """A forced request retrains even right after a release."""
    play = released(bake="0s")

    request_retraining(play.engine, MODEL, "request-1", "ada", "new schema", force=True, now=play.now)
    play.tick()

    assert outcomes(play) == [Outcome.RETRAIN]
    assert traffic(play) == {NEW: 100}


def test_forged_drift_moves_nothing() -> None:
    """Drift that Azure does not confirm moves no traffic."""
    play = released(bake="0s")
    event = drift_event("forged", at=play.now)
    play.azure.forged.add(event.key)

    play.receive(event)
    play.tick(minutes=20)
    settle_down(play)

    assert outcomes(play) == [Outcome.INSUFFICIENT]
    assert traffic(play) == {NEW: 100}


@pytest.mark.parametrize(("later", "rounds"), [(-1, 1), (1, 2)])
def test_forged_drift_delays_no_rollback(later: int, rounds: int) -> None:
    """Forged drift beside real drift delays no rollback and costs one more confirmation at most."""
    play = released(bake="0s")
    real = drift_event("real", at=play.now)
    forged = drift_event("forged", at=play.now + timedelta(seconds=later))
    play.azure.forged.add(forged.key)
    play.receive(forged, real)
    before = play.azure.calls.count("missed.confirm")

    play.tick()

    assert outcomes(play) == [Outcome.ROLL_BACK]
    assert play.azure.calls.count("missed.confirm") == before + rounds


def test_failed_manual_rollback_counts() -> None:
    """A failed rollback that a person requested counts as tried, so drift retrains."""
    play = released(bake="0s")
    play.azure.refused.add("endpoints.create_deployment")
    request_rollback(play.engine, MODEL, "it misprices", play.now)
    settle_down(play)

    drifts(play)
    play.tick()

    assert outcomes(play) == [Outcome.RETRAIN]


def test_rollback_is_notified() -> None:
    """A decision to roll back sends a notification."""
    play = released(bake="0s")

    drifts(play)
    play.tick()

    assert any(news.kind == "decision.roll_back" for news in told(play))


def told(play: Play) -> list[Any]:
    notifier: Any = play.engine.notifier
    return notifier.sent


# --- exactly once -----------------------------------------------------------------------------------------


class DiesOnceRecorded:
    """A ledger whose process dies right after it has recorded a decision."""

    def __init__(self, ledger: Any) -> None:
        self._ledger = ledger

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def record_decision(self, *args: Any, **kwargs: Any) -> None:
        self._ledger.record_decision(*args, **kwargs)
        raise Crash


@pytest.mark.parametrize("bake", ["0s", "1h"])
def test_crashed_decision_rolls_back_once(bake: str) -> None:
    """A crash right after the decision still leads to one rollback and no training."""
    play = released(bake=bake)
    drifts(play)
    mortal: Any = DiesOnceRecorded(play.ledger)
    with pytest.raises(Crash):
        decide_pending(replace(play.engine, ledger=mortal), play.now)
    assert traffic(play) == {NEW: 100}

    settle_down(play)
    play.tick(minutes=10)

    assert outcomes(play) == [Outcome.ROLL_BACK]
    assert traffic(play) == {OLD: 100}
    assert len(rollbacks(play)) == (bake == "0s")
    assert play.azure.pipeline_runs == {}


@pytest.mark.parametrize("fault", list(Fault))
@pytest.mark.parametrize("call", range(12))
def test_single_fault_rolls_back_once(fault: Fault, call: int) -> None:
    """Whatever call fails, traffic is rolled back once and nothing is trained."""
    play = released(bake="0s")
    before = play.azure.effects[WRITES]
    drifts(play)
    play.azure.plan(len(play.azure.calls) + call, fault)
    for _ in range(3):
        try:
            play.tick(minutes=6)
        except Crash:
            play.azure.restart()
    settle_down(play)

    assert outcomes(play) == [Outcome.ROLL_BACK]
    assert traffic(play) == {OLD: 100}
    assert play.azure.effects[WRITES] == before + 1
    assert rollbacks(play) == ["1"]
    assert play.azure.pipeline_runs == {}


def test_unavailable_registry_is_retried() -> None:
    """A rollback that finds the registry unavailable is started by a later tick."""
    play = released(bake="0s")
    play.azure.down.add("registry.get")
    drifts(play)
    play.tick()
    assert rollbacks(play) == []

    play.azure.down.clear()
    settle_down(play)

    assert traffic(play) == {OLD: 100}


def test_restored_version_stays() -> None:
    """A version that a person brings back after the rollback is not rolled back again."""
    play = released(bake="0s")
    drifts(play)
    settle_down(play)
    request_rollback(play.engine, MODEL, "it was fine", play.now, to="2")

    settle_down(play)

    assert traffic(play) == {NEW: 100}
    assert [each.state for each in play.ledger.rollouts() if each.is_open] == []
    assert RolloutState.FAILED not in {each.state for each in play.ledger.rollouts()}


@pytest.mark.parametrize("about", ["decision", "rollout", "event", "model"])
def test_trace_of_a_rollback(about: str) -> None:
    """Every id of a rollback leads to the decision that asked for it, and to its rollout."""
    play = released(bake="0s")
    drifts(play)
    settle_down(play)
    [decision] = play.ledger.decisions()
    [rollback] = [each for each in play.ledger.rollouts() if each.kind is RolloutKind.ROLLBACK]
    name = {"decision": decision.id, "rollout": rollback.id, "event": "event-after", "model": MODEL}[about]

    chain = trace(play.ledger, name).chain

    assert chain.decision == decision
    assert [each.id for each in chain.rollouts] == [rollback.id]
