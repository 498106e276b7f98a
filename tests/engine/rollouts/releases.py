"""Histories of releases: one version serves, another was registered and is being rolled out."""

from typing import Any, cast

from anew.core.policies.policy import Policy
from anew.core.rollouts.lifecycle import Rollout, RolloutState
from anew.core.rollouts.naming import deployment_name
from anew.core.rollouts.traffic import RequestStats
from anew.engine.base.ports import ModelVersion
from tests.builders import (
    ENDPOINT,
    MODEL,
    PRODUCTION,
    Play,
    ScriptedTraffic,
    deploy_rule,
    policy,
    registered_event,
    serve,
    stage,
)

OLD, NEW = deployment_name(MODEL, "3"), deployment_name(MODEL, "4")

FAST = {50.0: 1000}
GOOD = RequestStats(requests=1000, errors=1, latencies=FAST)
FEW = RequestStats(requests=20, errors=0, latencies={50.0: 20})
CRASHING = RequestStats(requests=1000, errors=200, latencies=FAST)
ANALYSIS = {"every": "1m", "failure_limit": 1, "error_limit": 2, "inconclusive_for": "3h"}
STEPS = [stage(mirror=20, wait="10m", min_requests=100), stage(20, wait="10m", min_requests=100), stage(100)]


def registered(version: str = "4", *, tags: dict[str, str] | None = None, play: Play | None = None) -> Play:
    """A history in which 3 serves, and another version was registered."""
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
    """A history in which the new version has a tenth of the traffic."""
    play = registered().with_policies(policy(deploy=[deploy_rule(steps=[stage(10, wait="1h"), stage(100)])]))
    play.tick()
    play.tick()
    assert traffic(play) == {OLD: 90, NEW: 10}
    return play


def staged(**changes: object) -> Policy:
    """A policy with a stage of a tenth for an hour, then all."""
    return policy(deploy=[deploy_rule(**({"steps": [stage(10, wait="1h"), stage(100)]} | changes))])


def newest(play: Play) -> Rollout:
    """The rollout opened last."""
    return play.ledger.rollouts()[-1]


def log_of(play: Play) -> ScriptedTraffic:
    return cast(ScriptedTraffic, play.engine.traffic_log)


def watched(new: RequestStats, old: RequestStats = GOOD, **changes: Any) -> Play:
    """A history in which the new version is at its first stage, mirrored, and deployments answer like this."""
    play = registered().with_policies(staged(**({"steps": STEPS, "analysis": ANALYSIS, "bake": "1h"} | changes)))
    log_of(play).answers = {NEW: new, OLD: old}
    play.tick()
    play.tick()
    return play


def until(play: Play, state: RolloutState) -> None:
    play.tick_until(lambda: play.rollout.state is state, at_most=300)
