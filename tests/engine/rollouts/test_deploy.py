"""Registrations open rollouts by the tags of the version in the registry."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from anew.core.rollouts.lifecycle import RolloutState
from anew.engine.rollouts.deploy import deploy
from tests.builders import MODEL, PRODUCTION, Play, deploy_rule, policy, registered_event
from tests.engine.rollouts.releases import NEW, outcome, registered, shifting, traffic


def test_foreign_registration_is_deployed() -> None:
    """A version with matching tags is deployed, whoever registered it."""
    play = registered()

    play.tick_until(lambda: bool(play.ledger.rollouts([RolloutState.LIVE])))

    assert play.rollout.retraining_id is None
    assert traffic(play) == {NEW: 100}


@pytest.mark.parametrize("tags", [{}, {"stage": "non-production"}, {"stage": "Production"}, {"Stage": "production"}])
def test_other_tags_are_not_deployed(tags: dict[str, str]) -> None:
    """A version whose tags do not match exactly is not deployed."""
    play = registered(tags=tags)

    play.tick()

    assert play.ledger.rollouts() == []
    assert outcome(play) == f"not deployed: the tags of {MODEL}:4 match no deploy rule"


def test_tags_of_event_do_not_count() -> None:
    """Tags are read from the registry, not from the event."""
    play = registered(tags={"stage": "candidate"})
    play.receive(structs.replace(registered_event("4"), id="forged", tags=PRODUCTION))

    deploy(play.engine, play.now)

    assert play.ledger.rollouts() == []


def test_unregistered_version_is_settled() -> None:
    """The event of a version that is not in the registry is settled."""
    play = Play()
    play.receive(registered_event("9"))

    deploy(play.engine, play.now)

    assert outcome(play, "9") == f"not deployed: {MODEL}:9 is not in the registry"


def test_model_without_policy_is_settled() -> None:
    """The event of a model without a policy is settled."""
    play = Play()
    play.receive(registered_event("1", model="strangers"))

    deploy(play.engine, play.now)

    [entry] = play.ledger.entries()
    assert entry.outcome == "not deployed: no policy for strangers"


def test_repeated_event_opens_one_rollout() -> None:
    """A registration that is delivered twice opens one rollout."""
    play = registered()
    deploy(play.engine, play.now)
    play.receive(registered_event("4"))

    deploy(play.engine, play.now)

    assert len(play.ledger.rollouts()) == 1


def test_silent_registry_defers_event() -> None:
    """While the registry does not answer, the event waits and other rollouts advance."""
    play = shifting()
    registered("5", play=play)
    play.azure.down.add("registry.get")
    play.now += timedelta(hours=2)

    report = deploy(play.engine, play.now)

    assert len(report.deferred) == 1
    assert outcome(play, "5") is None
    assert play.ledger.rollouts()[0].state is RolloutState.LIVE


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
def test_tags_match_by_pattern(match: dict[str, Any], tags: dict[str, str], *, goes: bool) -> None:
    """A rule may match a tag by a set, a prefix or a pattern of the whole value."""
    play = registered(tags=tags).with_policies(policy(deploy=[deploy_rule(match=match)]))

    play.tick()

    assert bool(play.ledger.rollouts()) is goes


def both(deploy_by: str) -> Play:
    rules = [deploy_rule("price-eu"), deploy_rule("price-us")]
    return registered().with_policies(policy(deploy=rules, deploy_by=deploy_by))


def test_first_rule_deploys() -> None:
    """A version is deployed by the first rule that matches."""
    play = both("first")
    play.tick()

    assert [each.endpoint for each in play.ledger.rollouts()] == ["price-eu"]


def test_all_rules_deploy() -> None:
    """With `deploy_by: all` a version is deployed by every rule that matches."""
    play = both("all")
    play.tick_until(lambda: len(play.ledger.rollouts([RolloutState.LIVE])) == 2)

    assert {each.endpoint for each in play.ledger.rollouts()} == {"price-eu", "price-us"}
