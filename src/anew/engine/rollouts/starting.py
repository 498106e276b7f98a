"""Pending: start the rollout, or end it when it must not start."""

from datetime import datetime

from anew.core.policies.deploy import Deploy
from anew.core.retrainings.lineage_tags import PARENT_TAG
from anew.core.rollouts.lifecycle import Rollout, RolloutKind, RolloutMove, RolloutState
from anew.core.rollouts.obstacles import release_obstacle, traffic_obstacle
from anew.engine.base.context import Engine
from anew.engine.base.ports import EndpointView
from anew.engine.base.transition import move_rollout
from anew.engine.serving.versions import served_version, view_of


def start(engine: Engine, rollout: Rollout, rule: Deploy, now: datetime) -> Rollout:
    """Make sure that the endpoint exists, and record which deployment serves."""
    view = view_of(engine, rule)
    if view is not None and (obstacle := _obstacle(engine, rollout, view)):
        return move_rollout(engine, rollout, RolloutMove.FAILED, now, reason=obstacle)
    engine.endpoints[rule.kind].ensure(rollout.endpoint)
    previous = next((name for name, share in view.traffic.items() if share), None) if view else None
    served = view.models.get(previous) if view and previous else None
    return move_rollout(engine, rollout, RolloutMove.STARTED, now, previous=previous, previous_version=served)


def _obstacle(engine: Engine, rollout: Rollout, view: EndpointView) -> str | None:
    obstacle = traffic_obstacle(rollout, view.traffic)
    if obstacle is not None or rollout.kind is RolloutKind.ROLLBACK:
        return obstacle
    pending = engine.ledger.rollouts([RolloutState.PENDING], model=rollout.model)
    waiting = (each.version for each in pending if each.place == rollout.place)
    registered = engine.registry.get(rollout.model, rollout.version)
    compared_with = registered.tags.get(PARENT_TAG) if registered else None
    return release_obstacle(rollout, served_version(view, rollout.model), waiting, compared_with)
