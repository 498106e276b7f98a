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


def test_drift_soon_after_a_release_goes_back_and_says_from_what_to_what() -> None:
    decision, _ = decided(release())

    assert decision.outcome is Outcome.ROLL_BACK
    assert decision.tree.sentence == (
        "roll_back: version 3 took all traffic 2:00:00 ago: going back to 2 is tried before another is trained"
    )


@given(st.timedeltas(timedelta(0), timedelta(days=2)))
def test_it_goes_back_within_the_time_of_the_policy_and_no_later(ago: timedelta) -> None:
    assert outcome(release(ago)) is (Outcome.ROLL_BACK if ago <= SOON else Outcome.RETRAIN)


@pytest.mark.parametrize(
    ("known", "why"),
    [
        (None, "no release of the model has all traffic"),
        (release(7 * HOUR), "7:00:00 ago, longer than 6:00:00"),
        (release(previous_version=None), "there is no version to go back to"),
    ],
)
def test_where_it_cannot_go_back_it_retrains_and_says_why(known: Release | None, why: str) -> None:
    decision, _ = decided(known)

    assert decision.outcome is Outcome.RETRAIN
    [said] = [node.sentence for node in decision.tree.children if node.rule == "prefer_rollback"]
    assert why in said


def test_while_it_goes_back_nothing_is_trained() -> None:
    decision, _ = decided(release(30 * HOUR, is_rolling_back=True))

    assert decision.outcome is Outcome.HOLD
    assert "is being sent back" in decision.tree.sentence


@pytest.mark.parametrize("limits", [{"cooldown": "30d"}, {"max_retrainings": {"count": 1, "window": "7d"}}])
def test_limits_of_trainings_do_not_hold_back_a_rollback(limits: dict[str, Any]) -> None:
    assert outcome(None, limits=limits) is Outcome.HOLD
    assert outcome(release(), limits=limits) is Outcome.ROLL_BACK


def test_a_block_outweighs_it() -> None:
    assert outcome(release(), block_when=BLOCK) is Outcome.BLOCKED
    assert outcome(release(is_rolling_back=True), block_when=BLOCK) is Outcome.BLOCKED


def test_a_block_that_does_not_fire_lets_it_pass() -> None:
    assert outcome(release(), block_when={**BLOCK, "above": 0.95}) is Outcome.ROLL_BACK


def test_a_person_who_insists_gets_a_training() -> None:
    assert outcome(release(), force=Force("ada", "new schema")) is Outcome.RETRAIN


@pytest.mark.parametrize(("drift", "expected"), [(0.1, Outcome.HOLD), (None, Outcome.INSUFFICIENT)])
@pytest.mark.parametrize("is_rolling_back", [False, True])
def test_without_drift_the_release_has_no_say(drift: float | None, expected: Outcome, is_rolling_back: bool) -> None:
    assert outcome(release(is_rolling_back=is_rolling_back), drift=drift) is expected


def test_without_the_option_it_retrains() -> None:
    assert outcome(release(), limits={"prefer_rollback": None}) is Outcome.RETRAIN


def test_shadow_decides_the_same_and_is_marked() -> None:
    decision, _ = decided(release(), mode="shadow")

    assert (decision.outcome, decision.shadow) == (Outcome.ROLL_BACK, True)
    assert "nothing is started" in decision.tree.sentence


def test_its_tree_is_json_and_reads_back_the_same() -> None:
    decision, _ = decided(release())

    assert from_json(to_json(decision.tree)) == decision.tree
