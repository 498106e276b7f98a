"""Histories from an open rollout to all traffic, or back, by time alone."""

from dataclasses import replace
from datetime import timedelta

import pytest

from anew.core.rollouts.lifecycle import Rollout, RolloutState
from anew.core.rollouts.naming import deployment_name
from anew.engine.base.ports import DeploymentState, ModelVersion
from anew.engine.rollouts.advance import advance_rollout
from anew.engine.rollouts.deploy import deploy
from tests.builders import ENDPOINT, MODEL, PRODUCTION, Play, deploy_rule, policy, serve, stage
from tests.engine.rollouts.releases import NEW, OLD, registered, shifting, staged, traffic


def test_first_version_of_an_endpoint_takes_all_traffic_at_once() -> None:
    play = registered("1", play=Play())

    play.tick()
    play.tick()

    assert play.rollout.state is RolloutState.LIVE
    assert traffic(play) == {deployment_name(MODEL, "1"): 100}


def test_deployment_that_cannot_be_deleted_does_not_cost_the_new_version_its_traffic() -> None:
    play = registered("1", play=Play())
    play.azure.refused.add("endpoints.delete_deployment")

    def live(count: int) -> None:
        play.tick_until(lambda: len(play.ledger.rollouts([RolloutState.LIVE])) == count)

    live(1)
    registered("2", play=play)
    live(2)
    registered("3", play=play)
    live(3)

    assert traffic(play) == {deployment_name(MODEL, "3"): 100}


def test_older_version_never_replaces_a_newer_one() -> None:
    play = Play()
    serve(play.azure, "5")
    registered("4", play=play)

    play.tick()
    play.tick()

    assert play.rollout.state is RolloutState.FAILED
    assert play.rollout.reason == f"{ENDPOINT} already serves version 5"
    assert traffic(play) == {deployment_name(MODEL, "5"): 100}


def test_versions_are_compared_as_numbers() -> None:
    play = Play()
    serve(play.azure, "9")
    registered("10", play=play)

    play.tick_until(lambda: not play.rollout.is_open if play.ledger.rollouts() else False)

    assert traffic(play) == {deployment_name(MODEL, "10"): 100}


def test_second_rollout_to_an_endpoint_waits_for_the_first() -> None:
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


def test_rollouts_to_different_endpoints_do_not_wait_for_each_other() -> None:
    play = Play().with_policies(policy(), policy("demand", deploy=[deploy_rule("demand-online")]))
    for model in (MODEL, "demand"):
        play.azure.models[model, "1"] = ModelVersion(model, "1", PRODUCTION, "somewhere")

    play.tick()
    play.tick()

    assert {rollout.state for rollout in play.ledger.rollouts()} == {RolloutState.LIVE}


def test_failed_smoke_test_keeps_the_old_version_in_charge() -> None:
    play = registered()
    play.azure.silent.add(f"{MODEL}:4")

    play.tick()
    play.tick()

    assert play.rollout.state is RolloutState.FAILED
    assert "refused the request" in (play.rollout.reason or "")
    assert traffic(play) == {OLD: 100}
    assert play.azure.effects["traffic", ENDPOINT] == 0


def test_deployment_that_cannot_be_created_fails_the_rollout() -> None:
    play = registered()
    play.azure.broken.add(f"{MODEL}:4")

    play.tick()
    play.tick()

    assert (play.rollout.state, play.rollout.reason) == (RolloutState.FAILED, "the deployment could not be created")


def test_deployment_that_is_never_ready_fails_the_rollout_in_the_end() -> None:
    play = registered()
    play.tick()
    for _ in range(3):
        play.azure.endpoints[ENDPOINT].deployments[NEW].state = DeploymentState.CREATING
        play.now += timedelta(hours=3)
        deploy(play.engine, play.now)

    assert play.rollout.state is RolloutState.FAILED
    assert "not ready" in (play.rollout.reason or "")


def test_version_that_left_the_registry_fails_the_rollout() -> None:
    play = registered()
    play.azure.down.add("endpoints.ensure")
    play.tick()
    del play.azure.models[MODEL, "4"]
    play.azure.down.clear()

    play.tick()

    assert (play.rollout.state, play.rollout.reason) == (
        RolloutState.FAILED,
        "the model version is gone from the registry",
    )


def test_worker_that_read_an_old_revision_changes_nothing() -> None:
    play = registered()
    deploy(play.engine, play.now)
    stale = play.rollout
    play.tick()
    writes = play.azure.effects["traffic", ENDPOINT]

    seen: Rollout = advance_rollout(play.engine, stale, play.now)

    assert seen == play.rollout
    assert play.azure.effects["traffic", ENDPOINT] == writes


def test_registered_version_goes_live_stage_by_stage() -> None:
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


def test_mirrored_stage_copies_requests_and_moves_no_live_traffic() -> None:
    play = registered().with_policies(staged(steps=[stage(mirror=30, wait="1h"), stage(100)]))

    play.tick()
    play.tick()

    assert traffic(play) == {OLD: 100}
    assert play.azure.endpoints[ENDPOINT].mirror == {NEW: 30}
    play.tick(hours=2)
    assert (traffic(play), play.azure.endpoints[ENDPOINT].mirror) == ({NEW: 100}, {})


def baking() -> Play:
    """4 takes all the traffic, 3 stays warm."""
    play = registered().with_policies(staged(steps=[stage(100)], bake="1d"))
    deployments = play.azure.endpoints[ENDPOINT].deployments
    play.tick()
    play.tick_until(lambda: play.rollout.state is RolloutState.BAKING)
    assert set(deployments) == {OLD, NEW}
    return play


def test_old_deployment_that_anew_made_goes_after_the_bake() -> None:
    play = baking()
    play.tick(days=2)
    registered("5", play=play)
    play.tick_until(lambda: play.ledger.rollouts()[-1].state is RolloutState.BAKING)
    assert set(play.azure.endpoints[ENDPOINT].deployments) == {OLD, NEW, deployment_name(MODEL, "5")}

    play.tick(days=2)

    assert set(play.azure.endpoints[ENDPOINT].deployments) == {OLD, deployment_name(MODEL, "5")}


def test_deployment_that_anew_did_not_make_is_never_deleted() -> None:
    play = baking()

    play.tick(days=2)

    assert set(play.azure.endpoints[ENDPOINT].deployments) == {OLD, NEW}


def test_versions_are_tagged_with_how_far_they_got() -> None:
    play = baking()

    stages = {version: play.azure.models[MODEL, version].tags["anew_stage"] for version in ("3", "4")}

    assert stages == {"3": "retired", "4": "production"}


def test_tag_that_cannot_be_written_does_not_hold_up_the_traffic() -> None:
    play = registered()
    play.azure.refused.add("registry.set_tags")

    play.tick_until(lambda: play.rollout.state is RolloutState.LIVE if play.ledger.rollouts() else False)

    assert traffic(play) == {NEW: 100}


def test_every_write_of_traffic_is_kept_with_who_and_why() -> None:
    play = registered().with_policies(staged(bake="1d"))
    play.tick_until(lambda: traffic(play) == {NEW: 100}, at_most=200)

    kept = [{share.model: share.percent for share in each.shares} for each in play.ledger.traffic(f"online/{ENDPOINT}")]

    assert kept[-2:] == [{f"{MODEL}:3": 90, f"{MODEL}:4": 10}, {f"{MODEL}:4": 100}]
    assert {(each.actor, each.rollout_id) for each in play.ledger.traffic()[-2:]} == {("test", play.rollout.id)}


@pytest.mark.parametrize("state", [RolloutState.SHIFTING, RolloutState.BAKING])
def test_traffic_that_somebody_else_moved_is_left_as_it_is(state: RolloutState) -> None:
    play = registered().with_policies(staged(bake="1d"))
    play.tick_until(lambda: bool(play.ledger.rollouts([state])), at_most=100)
    play.azure.endpoints[ENDPOINT].traffic = {OLD: 70, NEW: 30}

    play.tick()
    play.tick()

    assert play.rollout.state is RolloutState.FAILED
    assert "somebody else" in (play.rollout.reason or "")
    assert traffic(play) == {OLD: 70, NEW: 30}
    assert play.ledger.traffic()[-1].actor == "somebody else"


def test_endpoint_whose_traffic_is_shared_already_is_left_alone() -> None:
    play = registered()
    endpoint = play.azure.endpoints[ENDPOINT]
    endpoint.deployments["by-hand"] = replace(endpoint.deployments[OLD])
    endpoint.traffic = {OLD: 60, "by-hand": 40}

    play.tick()

    assert play.rollout.state is RolloutState.FAILED
    assert "is shared by" in (play.rollout.reason or "")


def test_endpoint_that_azure_is_still_changing_is_waited_for() -> None:
    play = registered().with_policies(staged())
    play.tick()
    play.azure.down.add("endpoints.set_traffic")
    for _ in range(5):
        play.tick()
    assert play.rollout.state is RolloutState.CREATING

    play.azure.down.clear()
    play.tick()

    assert traffic(play) == {OLD: 90, NEW: 10}


def test_endpoint_held_by_another_worker_is_left_alone_until_the_lease_ran_out() -> None:
    play = registered()
    deploy(play.engine, play.now)
    assert play.ledger.lease_endpoint(play.rollout.place, "another", play.now, timedelta(minutes=5))
    before = play.rollout

    play.tick(minutes=4)
    assert play.rollout == before
    play.tick(minutes=2)

    assert play.rollout.state is not before.state


def test_rollout_goes_on_by_the_rule_it_was_opened_with() -> None:
    play = shifting()

    play.with_policies(policy(deploy=[])).tick(hours=2)

    assert play.rollout.state is RolloutState.LIVE
