"""Giving the traffic back, and taking away deployments that nobody needs any more."""

import logging
from datetime import datetime

from anew.core.policies.deploy import Deploy
from anew.core.rollouts.lifecycle import Rollout, RolloutMove, RolloutState
from anew.core.rollouts.stages import Split, split_at
from anew.engine.base.context import Engine
from anew.engine.base.transition import move_rollout
from anew.engine.rollouts.shifting import mark_rolled_back, shown_split, traffic_change, write_split
from anew.engine.serving.versions import view_of
from anew.errors import AzureRefused

logger = logging.getLogger(__name__)


def abort_rollout(engine: Engine, rollout: Rollout, rule: Deploy, now: datetime) -> Rollout:
    """Give all traffic to the deployment that had it, if the new one has any, and end the rollout. Safe to repeat."""
    before = split_at(rollout, rule, -1)
    stages = tuple(split_at(rollout, rule, step) for step in range(-1, len(rule.steps)))
    shown = shown_split(engine, rollout, rule)
    if all(shown.live != each.live for each in stages):
        reason = f"{rollout.reason}; {rollout.endpoint} shows {_words(shown)}, which is left as it is"
        return move_rollout(engine, rollout, RolloutMove.FAILED, now, reason=reason)
    write_split(engine, rollout, rule, before, stages)
    _delete(engine, rollout, rule)
    if rollout.step < 0 and shown == before:
        return move_rollout(engine, rollout, RolloutMove.FAILED, now)
    mark_rolled_back(engine, rollout)
    change = traffic_change(engine, rollout, before, f"back: {rollout.reason}", now)
    return move_rollout(engine, rollout, RolloutMove.ABORTED, now, change)


def retire_old(engine: Engine, rollout: Rollout, rule: Deploy) -> None:
    """Delete every deployment that anew made at this endpoint, but the one that serves.

    One that cannot be deleted costs money, but is no reason to take the traffic from the new version.
    """
    view = view_of(engine, rule)
    ours = {
        item.deployment
        for item in engine.ledger.rollouts([RolloutState.LIVE, RolloutState.ROLLED_BACK, RolloutState.FAILED])
        if item.place == rollout.place
    }
    for name in sorted(ours & set(view.models if view else ())):
        if name != rollout.deployment and not (view and view.traffic.get(name)):
            _delete_deployment(engine, rule, name)


def _delete(engine: Engine, rollout: Rollout, rule: Deploy) -> None:
    if rollout.previous != rollout.deployment:
        _delete_deployment(engine, rule, rollout.deployment)


def _delete_deployment(engine: Engine, rule: Deploy, name: str) -> None:
    try:
        engine.endpoints[rule.kind].delete_deployment(rule.endpoint, name)
    except AzureRefused as error:
        logger.warning("%s/%s was not deleted: %s", rule.endpoint, name, error)


def _words(split: Split) -> str:
    return ", ".join(f"{name} {share} %" for name, share in sorted(split.live.items())) or "no traffic"
