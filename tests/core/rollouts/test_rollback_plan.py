"""The plan of a rollback, for every history of rollouts it can be requested in."""

from dataclasses import replace
from datetime import timedelta

import pytest

from anew.core.rollouts.lifecycle import Rollout, RolloutMove, RolloutState
from anew.core.rollouts.rollback_plan import (
    AbortRollout,
    AlreadyRolledBack,
    BringBack,
    RollbackPlan,
    at_one_endpoint,
    plan_requested,
    way_out,
)
from anew.errors import InvalidRequest, NothingKnown
from tests.builders import MODEL, START
from tests.core.rollouts.samples import release, rollback


def plan(*rollouts: Rollout, to: str | None = None, after: timedelta = timedelta(days=1)) -> RollbackPlan:
    return plan_requested(MODEL, rollouts, to, START + after)


def brought_back(found: RollbackPlan) -> tuple[str, list[str]]:
    """The version a plan brings back, and the rollouts that it ends first."""
    assert isinstance(found, BringBack)
    return found.version, [each.id for each in found.in_the_way]


@pytest.mark.parametrize("state", [RolloutState.CREATING, RolloutState.SHIFTING, RolloutState.BAKING])
def test_open_release_is_aborted(state: RolloutState) -> None:
    """A release that has begun is aborted, also when the version before is named."""
    current = release("4", state)

    assert plan(release("3"), current) == AbortRollout(current)
    assert plan(release("3"), current, to="3") == AbortRollout(current)


def test_live_release_brings_back() -> None:
    """From a live release, the version before is brought back; from a baking one, any other version."""
    assert brought_back(plan(release("2"), release("3"), release("4"))) == ("3", [])
    assert brought_back(plan(release("2"), release("3"), release("4", RolloutState.BAKING), to="2")) == ("2", ["o-4"])


@pytest.mark.parametrize("open_", [rollback("3"), release("4", RolloutState.ABORTING)])
def test_rollback_under_way_is_kept(open_: Rollout) -> None:
    """While a rollback to the same version is under way, requesting it again changes nothing."""
    rollouts = [release("3"), *([release("4")] if open_.version == "3" else []), open_]

    assert plan(*rollouts) == AlreadyRolledBack(open_)
    assert plan(*rollouts, to="3") == AlreadyRolledBack(open_)


def test_recent_rollback_is_kept() -> None:
    """A release that lost all traffic counts as just rolled back for as long as its bake; a named version does not."""
    lost = release("4", RolloutState.ROLLED_BACK, step=1, state_since=START + timedelta(minutes=1))
    hour = timedelta(hours=1)

    assert plan(release("3"), lost, after=hour) == AlreadyRolledBack(lost)
    assert brought_back(plan(release("2"), release("3"), lost, after=2 * hour)) == ("2", [])
    assert brought_back(plan(release("3"), lost, to="4", after=hour)) == ("4", [])


def test_other_version_replaces_rollback() -> None:
    """A named version ends a rollback that waits for another one, and each rollout once."""
    assert brought_back(plan(release("3"), release("4"), rollback("3"), to="2")) == ("2", ["b-3"])
    ended = release("4", RolloutState.ROLLED_BACK)
    assert brought_back(plan(ended, rollback("3"), to="2")) == ("2", ["b-3"])


def test_occasion_counts_attempts() -> None:
    """The occasion is the same until a rollback to this version has ended."""
    rollouts = release("3"), release("4")
    first, again = plan(*rollouts), plan(*rollouts, rollback("3", RolloutState.FAILED))

    assert isinstance(first, BringBack)
    assert isinstance(again, BringBack)
    assert (first.occasion, again.occasion) == ("o-4/0", "o-4/1")


def test_version_before_skips_rollbacks() -> None:
    """From a version that a rollback brought back, the plan goes further back, not to the version that was left."""
    back = rollback("3", RolloutState.LIVE, state_since=START + timedelta(hours=2))

    assert brought_back(plan(release("3"), release("4"), back)) == ("2", [])


@pytest.mark.parametrize("state", [RolloutState.BAKING, RolloutState.LIVE])
def test_first_version_is_not_removed(state: RolloutState) -> None:
    """The first version is never rolled back without a named version, so that the endpoint keeps one."""
    with pytest.raises(InvalidRequest, match="served before price:4"):
        plan(release("4", state, previous=None, previous_version=None))


def test_version_of_other_model_is_unknown() -> None:
    """A version of another model that served before is not brought back."""
    with pytest.raises(InvalidRequest, match="served before"):
        plan(release("4", previous_version="other:3"))


@pytest.mark.parametrize(
    ("state", "words"),
    [(RolloutState.LIVE, "serves"), (RolloutState.BAKING, "serves"), (RolloutState.CREATING, "is creating")],
)
def test_serving_version_is_refused(state: RolloutState, words: str) -> None:
    """The version that serves or is being released cannot be brought back."""
    with pytest.raises(InvalidRequest, match=f"price:4 {words} on price-online already"):
        plan(release("3"), release("4", state), to="4")


def test_nothing_released_is_unknown() -> None:
    """Without a release that serves there is nothing to roll back, unless a version is named."""
    ended = release("4", RolloutState.FAILED)

    with pytest.raises(NothingKnown, match=MODEL):
        plan(ended)
    assert brought_back(plan(ended, to="2")) == ("2", [])


def test_two_endpoints_need_a_name() -> None:
    """A model that serves at two endpoints needs one to be named; an endpoint where it failed does not count."""
    here, there = release("3"), release("3", endpoint="price-other")

    with pytest.raises(InvalidRequest, match="online/price-online, online/price-other"):
        at_one_endpoint(MODEL, [here, there])
    assert at_one_endpoint(MODEL, [here, replace(there, state=RolloutState.FAILED)]) == [here]


@pytest.mark.parametrize(
    ("rollout", "move"),
    [
        (release("4", RolloutState.PENDING), RolloutMove.FAILED),
        (release("4", RolloutState.SHIFTING), RolloutMove.ABORT),
        (release("4", RolloutState.BAKING), RolloutMove.ABORT),
        (rollback("3", RolloutState.CREATING), RolloutMove.ABORT),
        (rollback("3", RolloutState.BAKING), RolloutMove.BAKED),
    ],
)
def test_way_out(rollout: Rollout, move: RolloutMove) -> None:
    """A rollback that bakes ends where it is; any other rollout fails or is aborted."""
    assert way_out(rollout) == move
