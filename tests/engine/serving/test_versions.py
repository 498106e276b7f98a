"""Which version serves, by Azure and by the recorded traffic."""

import pytest

from anew.core.rollouts.lifecycle import RolloutState
from anew.engine.base.ports import EndpointView
from anew.engine.serving.versions import champion_version, newest_release, served_version, serving_releases
from tests.builders import ENDPOINT, MODEL, PRODUCTION, Play, deploy_rule, policy, serve
from tests.engine.rollouts.releases import OLD, registered, staged

MODELS = {"blue": f"{MODEL}:3", "green": f"{MODEL.upper()}:4", "red": "other:9", "grey": None}


@pytest.mark.parametrize(
    ("traffic", "version"),
    [
        ({"blue": 100}, "3"),
        ({"blue": 20, "green": 80}, "4"),
        ({"blue": 20, "red": 80}, "3"),
        ({"blue": 0, "green": 100}, "4"),
        ({"red": 100}, None),
        ({"grey": 100}, None),
        ({}, None),
    ],
)
def test_largest_share_serves(traffic: dict[str, int], version: str | None) -> None:
    """The version of the model with the largest share serves; deployments of other models do not count."""
    assert served_version(EndpointView(ENDPOINT, traffic, MODELS), MODEL) == version
    assert served_version(None, MODEL) is None


def test_champion_serves_where_versions_go() -> None:
    """The champion serves at the endpoint of the rule that the tags of new versions match."""
    rules = [deploy_rule("price-staging", match={"stage": "staging"}), deploy_rule("price-live")]
    play = Play()
    serve(play.azure, "2", endpoint="price-staging")
    serve(play.azure, "3", endpoint="price-live")

    assert champion_version(play.engine, policy(deploy=rules, register={"tags": PRODUCTION})) == "3"
    assert champion_version(play.engine, policy(deploy=rules, register={"tags": {"stage": "staging"}})) == "2"
    assert champion_version(play.engine, policy(deploy=[deploy_rule("price-other")])) is None


def test_release_serves_once_it_has_all() -> None:
    """A release serves from its full share on, and until its traffic was returned."""
    play = registered().with_policies(staged(bake="1d"))
    play.tick_until(lambda: bool(play.ledger.rollouts([RolloutState.SHIFTING])))
    assert list(serving_releases(play.ledger, MODEL)) == []

    play.tick_until(lambda: bool(play.ledger.rollouts([RolloutState.BAKING])), at_most=100)
    [serving] = serving_releases(play.ledger, MODEL)
    found = newest_release(play.ledger, MODEL)
    assert found is not None
    assert (serving.rollout, serving.since) == (play.rollout, play.rollout.state_since)
    assert (found.version, found.at, found.previous_version) == ("4", serving.since, "3")


def test_traffic_moved_outside_is_no_release() -> None:
    """A version that was given the traffic outside anew is no release, though anew released it before."""
    play = registered().with_policies(staged(bake="0s"))
    play.tick_until(lambda: bool(play.ledger.rollouts([RolloutState.LIVE])), at_most=100)
    play.azure.endpoints[ENDPOINT].traffic = {OLD: 100}
    play.tick()

    assert list(serving_releases(play.ledger, MODEL)) == []
    assert newest_release(play.ledger, MODEL) is None
