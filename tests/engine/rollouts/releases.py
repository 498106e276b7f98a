"""Histories of releases: a version serves, another was registered, and it is on its way."""

from anew.core.policies.policy import Policy
from anew.core.rollouts.lifecycle import Rollout
from anew.core.rollouts.naming import deployment_name
from anew.engine.base.ports import ModelVersion
from tests.builders import ENDPOINT, MODEL, PRODUCTION, Play, deploy_rule, policy, registered_event, serve, stage

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


def shifting() -> Play:
    """A history in which the new version takes a tenth."""
    play = registered().with_policies(policy(deploy=[deploy_rule(steps=[stage(10, wait="1h"), stage(100)])]))
    play.tick()
    play.tick()
    assert traffic(play) == {OLD: 90, NEW: 10}
    return play


def staged(**changes: object) -> Policy:
    """A policy that gives a tenth for an hour, then all."""
    return policy(deploy=[deploy_rule(**({"steps": [stage(10, wait="1h"), stage(100)]} | changes))])


def newest(play: Play) -> Rollout:
    """The rollout opened last."""
    return play.ledger.rollouts()[-1]
