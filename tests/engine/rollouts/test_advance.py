"""Histories of open rollouts: who goes first, who is left alone, and what each step leaves behind."""

from datetime import timedelta

import pytest

from anew.core.rollouts.lifecycle import Rollout, RolloutState
from anew.core.rollouts.naming import deployment_name
from anew.engine.base.ports import ModelVersion
from anew.engine.rollouts.advance import advance_rollout
from anew.engine.rollouts.deploy import deploy
from tests.builders import ENDPOINT, MODEL, PRODUCTION, Play, deploy_rule, policy, stage
from tests.engine.rollouts.releases import NEW, OLD, registered, shifting, staged, traffic


def test_release_goes_live_by_stages() -> None:
    """A release passes its stages and its bake by time, one state after the other."""
    play = registered().with_policies(staged(bake="1d"))

    play.tick()
    assert (play.rollout.state, traffic(play)) == (RolloutState.CREATING, {OLD: 100})
    play.tick()
    assert (play.rollout.state, traffic(play)) == (RolloutState.SHIFTING, {OLD: 90, NEW: 10})
    play.tick(minutes=59)
    assert traffic(play) == {OLD: 90, NEW: 10}
    play.tick(minutes=2)
    assert (play.rollout.state, traffic(play)) == (RolloutState.BAKING, {NEW: 100})
    play.tick(hours=23)
    assert play.rollout.state is RolloutState.BAKING
    play.tick(hours=2)
    assert (play.rollout.state, traffic(play)) == (RolloutState.LIVE, {NEW: 100})


def test_second_rollout_waits() -> None:
    """The rollouts of one endpoint are advanced one after the other."""
    play = registered().with_policies(policy(deploy=[deploy_rule(steps=[stage(10, wait="1h"), stage(100)])]))
    play.tick()
    play.tick()
    registered("5", play=play)
    play.tick()

    first, second = play.ledger.rollouts()
    assert (first.state, second.state) == (RolloutState.SHIFTING, RolloutState.PENDING)
    for _ in range(4):
        play.tick(hours=2)

    assert len(play.ledger.rollouts([RolloutState.LIVE])) == 2
    assert traffic(play) == {deployment_name(MODEL, "5"): 100}


def test_endpoints_are_independent() -> None:
    """Rollouts to different endpoints do not wait for each other."""
    play = Play().with_policies(policy(), policy("demand", deploy=[deploy_rule("demand-online")]))
    for model in (MODEL, "demand"):
        play.azure.models[model, "1"] = ModelVersion(model, "1", PRODUCTION, "somewhere")

    play.tick()
    play.tick()

    assert {rollout.state for rollout in play.ledger.rollouts()} == {RolloutState.LIVE}


def test_stale_worker_changes_nothing() -> None:
    """A worker that read the rollout before it was moved reads it again."""
    play = registered()
    deploy(play.engine, play.now)
    stale = play.rollout
    play.tick()
    writes = play.azure.effects["traffic", ENDPOINT]

    seen: Rollout = advance_rollout(play.engine, stale, play.now)

    assert seen == play.rollout
    assert play.azure.effects["traffic", ENDPOINT] == writes


def test_leased_endpoint_is_left_alone() -> None:
    """An endpoint leased by another worker is left alone until the lease has expired."""
    play = registered()
    deploy(play.engine, play.now)
    assert play.ledger.lease_endpoint(play.rollout.place, "another", play.now, timedelta(minutes=5))
    before = play.rollout

    play.tick(minutes=4)
    assert play.rollout == before
    play.tick(minutes=2)

    assert play.rollout.state is not before.state


def test_rule_is_fixed_at_opening() -> None:
    """A rollout keeps the rule it was opened with, though the policy has changed."""
    play = shifting()

    play.with_policies(policy(deploy=[])).tick(hours=2)

    assert play.rollout.state is RolloutState.LIVE


@pytest.mark.parametrize("state", [RolloutState.SHIFTING, RolloutState.BAKING])
def test_foreign_traffic_is_left(state: RolloutState) -> None:
    """Traffic that was moved outside anew ends the rollout, and stays as it is."""
    play = registered().with_policies(staged(bake="1d"))
    play.tick_until(lambda: bool(play.ledger.rollouts([state])), at_most=100)
    play.azure.endpoints[ENDPOINT].traffic = {OLD: 70, NEW: 30}

    play.tick()
    play.tick()

    assert play.rollout.state is RolloutState.FAILED
    assert "somebody else" in (play.rollout.reason or "")
    assert traffic(play) == {OLD: 70, NEW: 30}
    assert play.ledger.traffic()[-1].actor == "somebody else"


def test_busy_endpoint_is_retried() -> None:
    """A write that Azure cannot take yet is tried again."""
    play = registered().with_policies(staged())
    play.tick()
    play.azure.down.add("endpoints.set_traffic")
    for _ in range(5):
        play.tick()
    assert play.rollout.state is RolloutState.CREATING

    play.azure.down.clear()
    play.tick()

    assert traffic(play) == {OLD: 90, NEW: 10}


def test_traffic_writes_are_recorded() -> None:
    """Every write of traffic is recorded with its shares, its actor and its rollout."""
    play = registered().with_policies(staged(bake="1d"))
    play.tick_until(lambda: traffic(play) == {NEW: 100}, at_most=200)

    kept = [{share.model: share.percent for share in each.shares} for each in play.ledger.traffic(f"online/{ENDPOINT}")]

    assert kept[-2:] == [{f"{MODEL}:3": 90, f"{MODEL}:4": 10}, {f"{MODEL}:4": 100}]
    assert {(each.actor, each.rollout_id) for each in play.ledger.traffic()[-2:]} == {("test", play.rollout.id)}


def test_refused_tag_holds_up_nothing() -> None:
    """A tag that Azure refuses does not stop the rollout."""
    play = registered()
    play.azure.refused.add("registry.set_tags")

    play.tick_until(lambda: play.rollout.state is RolloutState.LIVE if play.ledger.rollouts() else False)

    assert traffic(play) == {NEW: 100}
