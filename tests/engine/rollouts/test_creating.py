"""A deployment that cannot be created, or fails its trial, never gets traffic."""

from datetime import timedelta

from anew.core.rollouts.lifecycle import RolloutState
from anew.engine.base.ports import DeploymentState
from anew.engine.rollouts.deploy import deploy
from tests.builders import ENDPOINT, MODEL
from tests.engine.rollouts.releases import NEW, OLD, registered, traffic


def test_refused_request_aborts() -> None:
    """A deployment that refuses the sample request gets no traffic."""
    play = registered()
    play.azure.silent.add(f"{MODEL}:4")

    play.tick()
    play.tick()

    assert play.rollout.state is RolloutState.FAILED
    assert "refused the request" in (play.rollout.reason or "")
    assert traffic(play) == {OLD: 100}
    assert play.azure.effects["traffic", ENDPOINT] == 0


def test_failed_creation_aborts() -> None:
    """A deployment that Azure cannot create ends the rollout."""
    play = registered()
    play.azure.broken.add(f"{MODEL}:4")

    play.tick()
    play.tick()

    assert (play.rollout.state, play.rollout.reason) == (RolloutState.FAILED, "the deployment could not be created")


def test_stalled_creation_aborts() -> None:
    """A deployment that is not ready for too long ends the rollout."""
    play = registered()
    play.tick()
    for _ in range(3):
        play.azure.endpoints[ENDPOINT].deployments[NEW].state = DeploymentState.CREATING
        play.now += timedelta(hours=3)
        deploy(play.engine, play.now)

    assert play.rollout.state is RolloutState.FAILED
    assert "not ready" in (play.rollout.reason or "")


def test_missing_version_aborts() -> None:
    """A version that has left the registry ends its rollout."""
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
