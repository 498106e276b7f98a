"""Aborting: return the traffic to the old deployment, and end the rollout."""

from datetime import datetime

from anew.core.policies.deploy import Deploy
from anew.core.rollouts.lifecycle import Rollout, RolloutMove
from anew.core.rollouts.stages import shown_stage, split_at, traffic_change
from anew.engine.base.context import Engine
from anew.engine.base.transition import move_rollout
from anew.engine.rollouts.effects import delete_deployment, mark_versions, shown_split, write_split
from anew.errors import TrafficMoved


def return_traffic(engine: Engine, rollout: Rollout, rule: Deploy, now: datetime) -> Rollout:
    """Return the traffic if the new deployment has any, delete that deployment, and end the rollout. Safe to repeat.

    Traffic that this rollout did not write is left as it is.
    """
    before = split_at(rollout, rule, -1)
    shown = shown_split(engine, rule)
    try:
        shown_stage(rollout, rule, shown, range(-1, len(rule.steps)))
    except TrafficMoved as error:
        reason = f"{rollout.reason}; {error}, which is left as it is"
        return move_rollout(engine, rollout, RolloutMove.FAILED, now, reason=reason)
    write_split(engine, rollout, rule, before, shown)
    if rollout.previous != rollout.deployment:
        delete_deployment(engine, rule, rollout.deployment)
    if rollout.step < 0 and shown == before:
        return move_rollout(engine, rollout, RolloutMove.FAILED, now)
    mark_versions(engine, rollout, "rolled-back", "production")
    change = traffic_change(rollout, before, engine.actor, f"back: {rollout.reason}", now)
    return move_rollout(engine, rollout, RolloutMove.ABORTED, now, change)
