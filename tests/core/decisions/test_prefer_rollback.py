"""Drift right after a release goes back rather than train, where the policy prefers that."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anew.core.decisions.decide import compile_policy, decide
from anew.core.decisions.decision import Decision, Outcome
from anew.core.decisions.explain import from_json, to_json
from anew.core.evidence.history import Attempt, AttemptState, Force, History, Release
from anew.core.evidence.signals import Evidence
from tests.builders import policy
from tests.core.rules.samples import HOUR, NOW, reading

SOON = timedelta(hours=6)
BLOCK = {"kind": "threshold", "metric": "null_value_rate", "above": 0.5}


def release(ago: timedelta = 2 * HOUR, **changes: Any) -> Release:
    return Release(**{"version": "3", "at": NOW - ago, "previous_version": "2", **changes})


def decided(
    known: Release | None, *, drift: float | None = 0.9, force: Force | None = None, **keys: Any
) -> tuple[Decision, History]:
    attempts = (Attempt("r-1", NOW - HOUR, AttemptState.REGISTERED),)
    history = History(attempts, release=known)
    limits = {"cooldown": "0s", "prefer_rollback": "6h", **keys.pop("limits", {})}
    document = policy(limits=limits, **keys)
    signals = (reading(drift, metric="drift_coefficient"), reading(0.9, metric="null_value_rate"))
    return decide(compile_policy(document), Evidence(signals), history, NOW, force), history


def outcome(known: Release | None, **more: Any) -> Outcome:
    return decided(known, **more)[0].outcome


def test_drift_after_release_rolls_back() -> None:
    """Drift soon after a release rolls back, and the decision names both versions."""
    decision, _ = decided(release())

    assert decision.outcome is Outcome.ROLL_BACK
    assert decision.tree.sentence == (
        "roll_back: version 3 took all traffic 2:00:00 ago: going back to 2 is tried before another is trained"
    )


@given(st.timedeltas(timedelta(0), timedelta(days=2)))
def test_rolls_back_within_window_only(ago: timedelta) -> None:
    """A decision rolls back within the time set by the policy and retrains after it."""
    assert outcome(release(ago)) is (Outcome.ROLL_BACK if ago <= SOON else Outcome.RETRAIN)


@pytest.mark.parametrize(
    ("known", "why"),
    [
        (None, "no release of the model has all traffic"),
        (release(7 * HOUR), "7:00:00 ago, longer than 6:00:00"),
        (release(previous_version=None), "there is no version to go back to"),
    ],
)
def test_retrains_when_rollback_impossible(known: Release | None, why: str) -> None:
    """Where no rollback is possible the decision is to retrain, and the tree says why."""
    decision, _ = decided(known)

    assert decision.outcome is Outcome.RETRAIN
    [said] = [node.sentence for node in decision.tree.children if node.rule == "prefer_rollback"]
    assert why in said


def test_no_retraining_during_rollback() -> None:
    """Nothing is retrained while a rollback is under way."""
    decision, _ = decided(release(30 * HOUR, is_rolling_back=True))

    assert decision.outcome is Outcome.HOLD
    assert "is being sent back" in decision.tree.sentence


@pytest.mark.parametrize("limits", [{"cooldown": "30d"}, {"max_retrainings": {"count": 1, "window": "7d"}}])
def test_retraining_limits_allow_rollback(limits: dict[str, Any]) -> None:
    """Limits on retrainings do not stop a rollback."""
    assert outcome(None, limits=limits) is Outcome.HOLD
    assert outcome(release(), limits=limits) is Outcome.ROLL_BACK


def test_block_outweighs_rollback() -> None:
    """A block outweighs a rollback, also one that is under way."""
    assert outcome(release(), block_when=BLOCK) is Outcome.BLOCKED
    assert outcome(release(is_rolling_back=True), block_when=BLOCK) is Outcome.BLOCKED


def test_unmet_block_allows_rollback() -> None:
    """A block that is not met allows a rollback."""
    assert outcome(release(), block_when={**BLOCK, "above": 0.95}) is Outcome.ROLL_BACK


def test_force_retrains_instead() -> None:
    """Force retrains instead of rolling back."""
    assert outcome(release(), force=Force("ada", "new schema")) is Outcome.RETRAIN


@pytest.mark.parametrize(("drift", "expected"), [(0.1, Outcome.HOLD), (None, Outcome.INSUFFICIENT)])
@pytest.mark.parametrize("is_rolling_back", [False, True])
def test_no_rollback_without_drift(drift: float | None, expected: Outcome, is_rolling_back: bool) -> None:
    """Without drift a recent release does not change the outcome."""
    assert outcome(release(is_rolling_back=is_rolling_back), drift=drift) is expected


def test_retrains_without_prefer_rollback() -> None:
    """Without `prefer_rollback` the decision is to retrain."""
    assert outcome(release(), limits={"prefer_rollback": None}) is Outcome.RETRAIN


def test_shadow_rollback_is_marked() -> None:
    """Shadow mode also decides to roll back and is marked."""
    decision, _ = decided(release(), mode="shadow")

    assert (decision.outcome, decision.shadow) == (Outcome.ROLL_BACK, True)
    assert "nothing is started" in decision.tree.sentence


def test_tree_survives_json() -> None:
    """The tree of a rollback survives JSON."""
    decision, _ = decided(release())

    assert from_json(to_json(decision.tree)) == decision.tree
