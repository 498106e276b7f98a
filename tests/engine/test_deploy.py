"""Histories from a registered version to all traffic, or back."""

from dataclasses import replace
from datetime import timedelta

import pytest

from anew.core.lifecycle import Rollout, RolloutState
from anew.core.tags import deployment_name
from anew.engine.deploy import advance_rollout, deploy
from anew.engine.ports import DeploymentState, ModelVersion
from tests.builders import ENDPOINT, MODEL, PRODUCTION, Play, deploy_rule, policy, registered_event, serve

OLD, NEW = deployment_name(MODEL, "3"), deployment_name(MODEL, "4")


def registered(version: str = "4", *, tags: dict[str, str] | None = None, play: Play | None = None) -> Play:
    """A history in which 3 serves, and another version was registered and told of."""
    if play is None:
        play = Play()
        serve(play.azure, "3")
    play.azure.models[MODEL, version] = ModelVersion(MODEL, version, PRODUCTION if tags is None else tags, "somewhere")
    play.receive(registered_event(version))
    return play


def traffic(play: Play) -> dict[str, int]:
    return {name: share for name, share in play.azure.endpoints[ENDPOINT].traffic.items() if share}


def outcome(play: Play, version: str = "4") -> str | None:
    entry = play.ledger.entry(f"event-{MODEL}-{version}")
    assert entry is not None
    return entry.outcome


def test_registered_version_goes_live_stage_by_stage() -> None:
    play = registered().with_policies(
        policy(deploy=[deploy_rule(steps=[{"traffic": 20, "wait": "1h"}, {"traffic": 100, "wait": "1h"}])])
    )

    play.tick()
    assert (play.rollout.state, traffic(play)) == (RolloutState.CREATING, {OLD: 100})
    play.tick()
    assert (play.rollout.state, traffic(play)) == (RolloutState.SHIFTING, {OLD: 80, NEW: 20})
    play.tick(minutes=59)
    assert traffic(play) == {OLD: 80, NEW: 20}
    play.tick(minutes=2)
    assert (play.rollout.state, traffic(play)) == (RolloutState.SHIFTING, {NEW: 100})
    play.tick(hours=2)
    assert (play.rollout.state, traffic(play)) == (RolloutState.LIVE, {NEW: 100})


def test_first_version_of_an_endpoint_takes_all_traffic_at_once() -> None:
    play = registered("1", play=Play())

    play.tick()
    play.tick()

    assert play.rollout.state is RolloutState.LIVE
    assert traffic(play) == {deployment_name(MODEL, "1"): 100}


def test_replaced_deployment_stays_warm_and_the_one_before_is_deleted() -> None:
    play = registered("1", play=Play())
    for version in ("2", "3"):
        play.tick_until(lambda: len(play.ledger.rollouts([RolloutState.LIVE])) == int(version) - 1)  # noqa: B023
        registered(version, play=play)
    play.tick_until(lambda: len(play.ledger.rollouts([RolloutState.LIVE])) == 3)

    assert set(play.azure.endpoints[ENDPOINT].deployments) == {deployment_name(MODEL, each) for each in ("2", "3")}


def test_deployment_that_cannot_be_deleted_does_not_cost_the_new_version_its_traffic() -> None:
    play = registered("1", play=Play())
    play.azure.refused.add("endpoints.delete_deployment")
    for version in ("2", "3"):
        play.tick_until(lambda: len(play.ledger.rollouts([RolloutState.LIVE])) == int(version) - 1)  # noqa: B023
        registered(version, play=play)
    play.tick_until(lambda: len(play.ledger.rollouts([RolloutState.LIVE])) == 3)

    assert traffic(play) == {deployment_name(MODEL, "3"): 100}


def test_version_somebody_else_registered_with_production_tags_is_deployed() -> None:
    play = registered()

    play.tick_until(lambda: bool(play.ledger.rollouts([RolloutState.LIVE])))

    assert play.rollout.retraining_id is None
    assert traffic(play) == {NEW: 100}


@pytest.mark.parametrize("tags", [{}, {"stage": "non-production"}, {"stage": "Production"}, {"Stage": "production"}])
def test_version_whose_tags_do_not_match_exactly_is_not_deployed(tags: dict[str, str]) -> None:
    play = registered(tags=tags)

    play.tick()

    assert play.ledger.rollouts() == []
    assert outcome(play) == f"not deployed: the tags of {MODEL}:4 match no deploy rule"


def test_version_that_is_tagged_for_production_later_is_deployed() -> None:
    play = registered(tags={"stage": "candidate"})
    play.tick()
    play.azure.models[MODEL, "4"] = ModelVersion(MODEL, "4", PRODUCTION, "somewhere")

    play.tick_until(lambda: bool(play.ledger.rollouts([RolloutState.LIVE])))

    assert traffic(play) == {NEW: 100}


def test_tags_are_read_from_the_registry_and_not_from_the_event() -> None:
    play = registered(tags={"stage": "candidate"})
    play.receive(replace(registered_event("4"), id="forged", tags=PRODUCTION))

    deploy(play.engine, play.now)

    assert play.ledger.rollouts() == []


def test_event_of_a_version_that_is_not_in_the_registry_is_settled() -> None:
    play = Play()
    play.receive(registered_event("9"))

    deploy(play.engine, play.now)

    assert outcome(play, "9") == f"not deployed: {MODEL}:9 is not in the registry"


def test_event_of_a_model_without_a_policy_is_settled() -> None:
    play = Play()
    play.receive(registered_event("1", model="strangers"))

    deploy(play.engine, play.now)

    [entry] = play.ledger.entries()
    assert entry.outcome == "not deployed: no policy for strangers"


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


def test_registration_told_of_twice_opens_one_rollout() -> None:
    play = registered()
    deploy(play.engine, play.now)
    play.receive(registered_event("4"))

    deploy(play.engine, play.now)

    assert len(play.ledger.rollouts()) == 1


def test_second_rollout_to_an_endpoint_waits_for_the_first() -> None:
    play = registered().with_policies(
        policy(deploy=[deploy_rule(steps=[{"traffic": 10, "wait": "1h"}, {"traffic": 100}])])
    )
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


def shifting() -> Play:
    """A history in which the new version takes a tenth."""
    play = registered().with_policies(
        policy(deploy=[deploy_rule(steps=[{"traffic": 10, "wait": "1h"}, {"traffic": 100}])])
    )
    play.tick()
    play.tick()
    assert traffic(play) == {OLD: 90, NEW: 10}
    return play


def test_smoke_test_that_fails_halfway_gives_all_traffic_back() -> None:
    play = shifting()
    play.azure.silent.add(f"{MODEL}:4")

    play.tick(hours=2)

    assert play.rollout.state is RolloutState.FAILED
    assert traffic(play) == {OLD: 100}


def test_rollout_whose_traffic_cannot_be_given_back_says_so_and_ends() -> None:
    play = shifting()
    play.azure.silent.add(f"{MODEL}:4")
    del play.azure.endpoints[ENDPOINT].deployments[OLD]

    play.tick(hours=2)

    assert play.rollout.state is RolloutState.FAILED
    assert "look at the endpoint" in (play.rollout.reason or "")


def test_rollout_whose_rule_left_the_policy_gives_all_traffic_back() -> None:
    play = shifting()

    play.with_policies(policy(deploy=[])).tick()

    assert play.rollout.state is RolloutState.FAILED
    assert traffic(play) == {OLD: 100}


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


def test_smoke_test_without_any_answer_fails_the_rollout_in_the_end() -> None:
    play = shifting()
    play.azure.down.add("endpoints.score")

    play.tick(hours=2)
    assert play.rollout.state is RolloutState.SHIFTING
    play.tick(hours=6)

    assert play.rollout.state is RolloutState.FAILED
    assert traffic(play) == {OLD: 100}


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


def test_rollout_leased_by_another_worker_is_left_alone_until_the_lease_ran_out() -> None:
    play = registered()
    deploy(play.engine, play.now)
    assert play.ledger.lease_rollout(play.rollout, play.now, timedelta(minutes=5))
    before = play.rollout

    play.tick(minutes=4)
    assert play.rollout == before
    play.tick(minutes=2)

    assert play.rollout.state is not before.state


def test_worker_that_read_an_old_revision_changes_nothing() -> None:
    play = registered()
    deploy(play.engine, play.now)
    stale = play.rollout
    play.tick()
    writes = play.azure.effects["traffic", ENDPOINT]

    seen: Rollout = advance_rollout(play.engine, stale, play.now)

    assert seen == play.rollout
    assert play.azure.effects["traffic", ENDPOINT] == writes


def test_registry_that_does_not_answer_keeps_the_event_in_the_inbox_and_other_rollouts_moving() -> None:
    play = shifting()
    registered("5", play=play)
    play.azure.down.add("registry.get")
    play.now += timedelta(hours=2)

    report = deploy(play.engine, play.now)

    assert len(report.deferred) == 1
    assert outcome(play, "5") is None
    assert play.ledger.rollouts()[0].state is RolloutState.LIVE
