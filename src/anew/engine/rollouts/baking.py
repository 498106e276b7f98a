"""Baking: the new deployment has all the traffic, and the old one is kept until this is over."""

from datetime import datetime

from anew.core.policies.deploy import Deploy
from anew.core.rollouts.lifecycle import OPEN_ROLLOUT, Rollout, RolloutMove, RolloutState
from anew.core.rollouts.progress import bake_ends_at, has_failed, is_bake_measured, is_due
from anew.core.rollouts.stages import shown_stage
from anew.engine.base.context import Engine
from anew.engine.base.transition import move_rollout
from anew.engine.rollouts.effects import delete_deployment, shown_split
from anew.engine.rollouts.measuring import measure
from anew.engine.serving.versions import view_of

_ENDED = frozenset(RolloutState) - OPEN_ROLLOUT


def bake(engine: Engine, rollout: Rollout, rule: Deploy, now: datetime) -> Rollout:
    """End the bake when its time is over, or abort when measurements fail. Raises TrafficMoved."""
    shown_stage(rollout, rule, shown_split(engine, rule), [rollout.step])
    if is_bake_measured(rollout, rule) and is_due(rollout, rule, now):
        rollout, measurement = measure(engine, rollout, rule, rule.steps[-1], now)
        if has_failed(rollout, rule):
            reason = f"failed its bake: {measurement.sentence}"
            return move_rollout(engine, rollout, RolloutMove.ABORT, now, reason=reason)
    if now < bake_ends_at(rollout, rule):
        return rollout
    _delete_old_deployments(engine, rollout, rule)
    return move_rollout(engine, rollout, RolloutMove.BAKED, now, reason=None)


def _delete_old_deployments(engine: Engine, rollout: Rollout, rule: Deploy) -> None:
    """Delete every deployment without traffic that anew created at this endpoint."""
    view = view_of(engine, rule)
    if view is None:
        return
    created = {each.deployment for each in engine.ledger.rollouts(_ENDED) if each.place == rollout.place}
    for name in sorted(created & set(view.models) - {rollout.deployment}):
        if not view.traffic.get(name):
            delete_deployment(engine, rule, name)
