"""What goes where by its tags: told by an event, found by reconciliation, and taken away."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from anew.core.rollouts.lifecycle import RolloutKind, RolloutState
from anew.core.rollouts.naming import deployment_name
from anew.engine.base.ports import ModelVersion
from anew.engine.rollouts.deploy import deploy
from tests.builders import MODEL, PRODUCTION, Play, deploy_rule, policy, registered_event
from tests.engine.rollouts.releases import NEW, OLD, newest, outcome, registered, shifting, traffic


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
    play.receive(structs.replace(registered_event("4"), id="forged", tags=PRODUCTION))

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


def test_registration_told_of_twice_opens_one_rollout() -> None:
    play = registered()
    deploy(play.engine, play.now)
    play.receive(registered_event("4"))

    deploy(play.engine, play.now)

    assert len(play.ledger.rollouts()) == 1


def test_registry_that_does_not_answer_keeps_the_event_in_the_inbox_and_other_rollouts_moving() -> None:
    play = shifting()
    registered("5", play=play)
    play.azure.down.add("registry.get")
    play.now += timedelta(hours=2)

    report = deploy(play.engine, play.now)

    assert len(report.deferred) == 1
    assert outcome(play, "5") is None
    assert play.ledger.rollouts()[0].state is RolloutState.LIVE


def retag(play: Play, version: str, tags: dict[str, str]) -> None:
    """Somebody changes the tags of a version, of which Azure tells nobody."""
    known = play.azure.models[MODEL, version]
    play.azure.models[MODEL, version] = replace(known, tags=tags)


def live(play: Play) -> bool:
    return bool(play.ledger.rollouts([RolloutState.LIVE]))


@pytest.mark.parametrize(
    ("match", "tags", "goes"),
    [
        ({"stage": {"in": ["production", "canary"]}}, {"stage": "canary"}, True),
        ({"stage": {"in": ["production", "canary"]}}, {"stage": "candidate"}, False),
        ({"stage": {"prefix": "prod"}}, {"stage": "production-eu"}, True),
        ({"stage": {"prefix": "prod"}}, {"stage": "non-production"}, False),
        ({"stage": {"regex": "prod(uction)?"}}, {"stage": "prod"}, True),
        ({"stage": {"regex": "prod"}}, {"stage": "production"}, False),
    ],
)
def test_tags_match_by_set_prefix_or_whole_pattern_on_request(
    match: dict[str, Any], tags: dict[str, str], *, goes: bool
) -> None:
    play = registered(tags=tags).with_policies(policy(deploy=[deploy_rule(match=match)]))

    play.tick()

    assert bool(play.ledger.rollouts()) is goes


def both(deploy_by: str) -> Play:
    rules = [deploy_rule("price-eu"), deploy_rule("price-us")]
    return registered().with_policies(policy(deploy=rules, deploy_by=deploy_by))


def test_version_goes_where_the_first_rule_that_matches_says() -> None:
    play = both("first")
    play.tick()

    assert [each.endpoint for each in play.ledger.rollouts()] == ["price-eu"]


def test_version_goes_everywhere_when_the_policy_deploys_by_all_rules() -> None:
    play = both("all")
    play.tick_until(lambda: len(play.ledger.rollouts([RolloutState.LIVE])) == 2)

    assert {each.endpoint for each in play.ledger.rollouts()} == {"price-eu", "price-us"}


def untagged(on_untag: str) -> Play:
    """4 was released after 3, and then lost its tags."""
    play = registered().with_policies(policy(deploy=[deploy_rule(on_untag=on_untag, bake="1d")]))
    play.tick_until(lambda: bool(play.ledger.rollouts([RolloutState.BAKING])))
    play.tick(days=2)
    retag(play, "4", {"stage": "withdrawn"})
    return play


def test_version_that_lost_its_tags_goes_on_serving_when_the_policy_keeps_it() -> None:
    play = untagged("keep")
    play.tick()
    play.tick()

    assert traffic(play) == {NEW: 100}


def test_version_that_lost_its_tags_makes_way_for_the_newest_that_has_them() -> None:
    play = untagged("roll_back")
    play.tick_until(lambda: traffic(play) == {OLD: 100})

    back = newest(play)
    assert (back.kind, back.version) == (RolloutKind.ROLLBACK, "3")
    assert "lost the tags" in (back.request_reason or "")


def test_version_that_lost_its_tags_serves_on_while_no_other_has_them() -> None:
    play = untagged("roll_back")
    retag(play, "3", {"stage": "withdrawn"})
    play.tick()
    play.tick()

    assert traffic(play) == {NEW: 100}


def test_version_that_anew_did_not_bring_is_not_taken_away() -> None:
    play = Play().with_policies(policy(deploy=[deploy_rule(on_untag="roll_back")]))
    registered("2", play=play)
    play.azure.models[MODEL, "3"] = ModelVersion(MODEL, "3", {}, "by hand")
    found = play.azure.endpoints
    play.tick_until(lambda: live(play))
    deployment = deployment_name(MODEL, "3")
    endpoint = next(iter(found.values()))
    endpoint.deployments[deployment] = replace(next(iter(endpoint.deployments.values())), model=f"{MODEL}:3")
    endpoint.traffic = {deployment: 100}

    play.tick()
    play.tick()

    assert traffic(play) == {deployment: 100}


def test_newest_of_several_waiting_versions_goes_and_the_others_are_passed_over() -> None:
    play = shifting()
    for version in ("5", "6"):
        registered(version, play=play)
        play.tick()
    play.tick_until(lambda: traffic(play) == {deployment_name(MODEL, "6"): 100}, at_most=200)

    passed = next(each for each in play.ledger.rollouts() if each.version == "5")
    assert (passed.state, passed.reason) == (
        RolloutState.FAILED, "version 6 also waits for price-online, and is released instead"
    )  # fmt: skip


def test_version_compared_with_another_than_the_one_that_serves_does_not_go_live() -> None:
    play = registered(tags={**PRODUCTION, "anew_parent_version": "2"})
    play.tick()

    assert play.rollout.state is RolloutState.FAILED
    assert "compared with version 2" in (play.rollout.reason or "")
    assert traffic(play) == {OLD: 100}
