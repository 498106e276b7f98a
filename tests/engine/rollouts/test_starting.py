"""Whether a rollout starts."""

from dataclasses import replace

from anew.core.rollouts.lifecycle import RolloutState
from anew.core.rollouts.naming import deployment_name
from tests.builders import ENDPOINT, MODEL, PRODUCTION, Play, serve
from tests.engine.rollouts.releases import OLD, registered, shifting, traffic


def test_first_version_takes_all() -> None:
    """The first version of an endpoint gets all traffic at once, and has no bake."""
    play = registered("1", play=Play())

    play.tick()
    play.tick()

    assert play.rollout.state is RolloutState.LIVE
    assert traffic(play) == {deployment_name(MODEL, "1"): 100}


def test_older_version_is_not_released() -> None:
    """An older version never replaces a newer one."""
    play = Play()
    serve(play.azure, "5")
    registered("4", play=play)

    play.tick()
    play.tick()

    assert play.rollout.state is RolloutState.FAILED
    assert play.rollout.reason == f"{ENDPOINT} already serves version 5"
    assert traffic(play) == {deployment_name(MODEL, "5"): 100}


def test_versions_compare_as_numbers() -> None:
    """Version 10 replaces version 9."""
    play = Play()
    serve(play.azure, "9")
    registered("10", play=play)

    play.tick_until(lambda: not play.rollout.is_open if play.ledger.rollouts() else False)

    assert traffic(play) == {deployment_name(MODEL, "10"): 100}


def test_shared_traffic_is_left_alone() -> None:
    """An endpoint whose traffic is shared already is left alone."""
    play = registered()
    endpoint = play.azure.endpoints[ENDPOINT]
    endpoint.deployments["by-hand"] = replace(endpoint.deployments[OLD])
    endpoint.traffic = {OLD: 60, "by-hand": 40}

    play.tick()

    assert play.rollout.state is RolloutState.FAILED
    assert "is shared by" in (play.rollout.reason or "")


def test_newest_waiting_version_goes() -> None:
    """Of several versions that wait, only the newest is released."""
    play = shifting()
    for version in ("5", "6"):
        registered(version, play=play)
        play.tick()
    play.tick_until(lambda: traffic(play) == {deployment_name(MODEL, "6"): 100}, at_most=200)

    passed = next(each for each in play.ledger.rollouts() if each.version == "5")
    assert (passed.state, passed.reason) == (
        RolloutState.FAILED, "version 6 also waits for price-online, and is released instead"
    )  # fmt: skip


def test_comparison_with_another_is_void() -> None:
    """A version that was compared with another than the one that serves is not released."""
    play = registered(tags={**PRODUCTION, "anew_parent_version": "2"})
    play.tick()

    assert play.rollout.state is RolloutState.FAILED
    assert "compared with version 2" in (play.rollout.reason or "")
    assert traffic(play) == {OLD: 100}
