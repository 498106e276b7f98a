"""Tags that are changed or removed after the registration, of which Azure raises no event."""

from dataclasses import replace

from anew.core.rollouts.lifecycle import RolloutKind, RolloutState
from anew.core.rollouts.naming import deployment_name
from anew.engine.base.ports import ModelVersion
from tests.builders import MODEL, PRODUCTION, Play, deploy_rule, policy
from tests.engine.rollouts.releases import NEW, OLD, newest, registered, traffic


def test_later_tags_are_deployed() -> None:
    """A version that is tagged after its registration is deployed."""
    play = registered(tags={"stage": "candidate"})
    play.tick()
    play.azure.models[MODEL, "4"] = ModelVersion(MODEL, "4", PRODUCTION, "somewhere")

    play.tick_until(lambda: bool(play.ledger.rollouts([RolloutState.LIVE])))

    assert traffic(play) == {NEW: 100}


def retag(play: Play, version: str, tags: dict[str, str]) -> None:
    """Change the tags of a version, of which Azure raises no event."""
    known = play.azure.models[MODEL, version]
    play.azure.models[MODEL, version] = replace(known, tags=tags)


def untagged(on_untag: str) -> Play:
    """4 was released after 3, and then lost its tags."""
    play = registered().with_policies(policy(deploy=[deploy_rule(on_untag=on_untag, bake="1d")]))
    play.tick_until(lambda: bool(play.ledger.rollouts([RolloutState.BAKING])))
    play.tick(days=2)
    retag(play, "4", {"stage": "withdrawn"})
    return play


def test_untagged_version_is_kept() -> None:
    """With `on_untag: keep`, a version without its tags continues to serve."""
    play = untagged("keep")
    play.tick()
    play.tick()

    assert traffic(play) == {NEW: 100}


def test_untagged_version_is_rolled_back() -> None:
    """With `on_untag: roll_back`, the newest version with the tags is brought back."""
    play = untagged("roll_back")
    play.tick_until(lambda: traffic(play) == {OLD: 100})

    back = newest(play)
    assert (back.kind, back.version) == (RolloutKind.ROLLBACK, "3")
    assert "lost the tags" in (back.request_reason or "")


def test_last_version_is_kept() -> None:
    """A version without its tags continues to serve while no other has them."""
    play = untagged("roll_back")
    retag(play, "3", {"stage": "withdrawn"})
    play.tick()
    play.tick()

    assert traffic(play) == {NEW: 100}


def live(play: Play) -> bool:
    return bool(play.ledger.rollouts([RolloutState.LIVE]))


def test_foreign_version_is_kept() -> None:
    """A version that anew did not deploy is not rolled back."""
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
