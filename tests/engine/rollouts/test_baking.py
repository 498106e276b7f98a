"""Histories of bakes: they end by time, a failed measurement aborts them, and old deployments are deleted."""

from typing import Any, cast

from anew.core.rollouts.lifecycle import RolloutState
from anew.core.rollouts.naming import deployment_name
from anew.core.rollouts.traffic import RequestStats
from anew.errors import AzureUnavailable
from tests.builders import ENDPOINT, MODEL, Play, stage
from tests.engine.rollouts.releases import (
    CRASHING,
    FEW,
    GOOD,
    NEW,
    OLD,
    log_of,
    registered,
    staged,
    traffic,
    until,
    watched,
)


def bakes(new: RequestStats = GOOD, **changes: Any) -> Play:
    play = watched(GOOD, **changes)
    until(play, RolloutState.BAKING)
    log_of(play).answers[NEW] = new
    return play


def test_failed_bake_returns_traffic() -> None:
    """A failed bake returns all traffic to the old deployment in one write."""
    play = bakes(CRASHING)
    writes = play.azure.effects["traffic", ENDPOINT]

    until(play, RolloutState.ROLLED_BACK)

    assert traffic(play) == {OLD: 100}
    assert play.azure.effects["traffic", ENDPOINT] == writes + 1
    assert "failed its bake" in (play.rollout.reason or "")
    stages = {version: play.azure.models["price", version].tags["anew_stage"] for version in ("3", "4")}
    assert stages == {"3": "production", "4": "rolled-back"}


def test_bake_compares_with_stages_before() -> None:
    """A bake is compared with the requests the old version answered before it lost its traffic."""
    play = bakes()
    began = play.rollout.state_since

    play.tick(minutes=5)

    assert log_of(play).asked[-1] == (frozenset({OLD}), play.rollout.created_at, began)


def test_bake_with_few_requests_ends() -> None:
    """A bake with few requests ends by time."""
    play = bakes(FEW)

    play.tick(minutes=30)
    assert play.rollout.state is RolloutState.BAKING
    play.tick(minutes=40)

    assert play.rollout.state is RolloutState.LIVE


def test_unreadable_log_keeps_traffic() -> None:
    """A traffic log that cannot be read does not abort a bake."""
    play = bakes()
    log_of(play).error = AzureUnavailable("no answer")

    for _ in range(10):
        play.tick()
    assert play.rollout.state is RolloutState.BAKING
    play.tick(hours=2)

    assert play.rollout.state is RolloutState.LIVE


def baking() -> Play:
    """4 takes all the traffic, 3 stays warm."""
    play = registered().with_policies(staged(steps=[stage(100)], bake="1d"))
    deployments = play.azure.endpoints[ENDPOINT].deployments
    play.tick()
    play.tick_until(lambda: play.rollout.state is RolloutState.BAKING)
    assert set(deployments) == {OLD, NEW}
    return play


def test_bake_deletes_old_deployment() -> None:
    """After the bake, the old deployment that anew created is deleted."""
    play = baking()
    play.tick(days=2)
    registered("5", play=play)
    play.tick_until(lambda: play.ledger.rollouts()[-1].state is RolloutState.BAKING)
    assert set(play.azure.endpoints[ENDPOINT].deployments) == {OLD, NEW, deployment_name(MODEL, "5")}

    play.tick(days=2)

    assert set(play.azure.endpoints[ENDPOINT].deployments) == {OLD, deployment_name(MODEL, "5")}


def test_foreign_deployment_is_kept() -> None:
    """A deployment that anew did not create is never deleted."""
    play = baking()

    play.tick(days=2)

    assert set(play.azure.endpoints[ENDPOINT].deployments) == {OLD, NEW}


def test_refused_deletion_holds_up_nothing() -> None:
    """A deployment that Azure does not delete costs the new version no traffic."""
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


def test_versions_are_tagged() -> None:
    """The version with all traffic is tagged production, the one before it retired."""
    play = baking()

    stages = {version: play.azure.models[MODEL, version].tags["anew_stage"] for version in ("3", "4")}

    assert stages == {"3": "retired", "4": "production"}


def test_each_end_is_notified_once() -> None:
    """People are notified once when a version has all traffic, and once when it is live."""
    play = watched(GOOD)
    until(play, RolloutState.LIVE)
    play.tick(minutes=5)

    told = [news.kind for news in cast(Any, play.engine.notifier).sent if news.kind.startswith("rollout")]

    assert told == ["rollout.baking", "rollout.live"]
