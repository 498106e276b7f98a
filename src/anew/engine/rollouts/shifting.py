"""Writing the traffic of a stage: a crash at any point leaves a split that was meant, and nobody's change is lost."""

import logging
from datetime import datetime

from anew.core.policies.deploy import Deploy
from anew.core.retrainings.lineage_tags import STAGE_TAG
from anew.core.rollouts.lifecycle import Rollout, RolloutMove
from anew.core.rollouts.stages import Split, shares_of, split_at, stage_name, takes_all
from anew.core.rollouts.traffic import TrafficChange
from anew.engine.base.context import Engine
from anew.engine.base.transition import move_rollout
from anew.errors import AzureRefused, TrafficMoved

logger = logging.getLogger(__name__)

PRODUCTION, RETIRED, ROLLED_BACK = "production", "retired", "rolled-back"


def take_stage(engine: Engine, rollout: Rollout, rule: Deploy, step: int, now: datetime) -> Rollout:
    """Give the new deployment the share of a stage. Raises TrafficMoved when the endpoint shows traffic that this
    rollout did not write.
    """
    wanted = split_at(rollout, rule, step)
    write_split(engine, rollout, rule, wanted, (split_at(rollout, rule, rollout.step), wanted))
    stage = rule.steps[step]
    why = rollout.request_reason or f"rollout of {rollout.model}:{rollout.version}"
    change = traffic_change(engine, rollout, wanted, f"{why}: {stage_name(stage)}", now)
    fresh = {"step": step, "measurements": 0, "failures": 0, "errors": 0, "measured_at": None, "reason": None}
    if not takes_all(rule, step):
        return move_rollout(engine, rollout, RolloutMove.STEPPED, now, change, **fresh)
    mark(engine, rollout.model, rollout.version, PRODUCTION)
    _mark_previous(engine, rollout, RETIRED)
    return move_rollout(engine, rollout, RolloutMove.FILLED, now, change, **fresh)


def write_split(engine: Engine, rollout: Rollout, rule: Deploy, wanted: Split, known: tuple[Split, ...]) -> None:
    """Write it, unless the endpoint shows it already: an earlier try may have got so far."""
    endpoints = engine.endpoints[rule.kind]
    shown = shown_split(engine, rollout, rule)
    if shown == wanted:
        return
    if all(shown.live != each.live for each in known):
        raise TrafficMoved(f"{rollout.endpoint} shows {dict(shown.live) or 'no traffic'}")
    old = rollout.previous
    zeroed = {name: 0 for name in (rollout.deployment, old) if name and name not in wanted.live and name in shown.live}
    endpoints.set_traffic(
        rollout.endpoint, {**wanted.live, **zeroed}, mirror=dict(wanted.mirror), expected=dict(shown.live)
    )


def shown_split(engine: Engine, rollout: Rollout, rule: Deploy) -> Split:
    """The split as Azure shows it just now."""
    view = engine.endpoints[rule.kind].view(rollout.endpoint)
    if view is None:
        return Split({})
    return Split(
        {name: share for name, share in view.traffic.items() if share},
        {name: share for name, share in view.mirror.items() if share},
    )


def traffic_change(engine: Engine, rollout: Rollout, split: Split, why: str, now: datetime) -> TrafficChange:
    """What is kept of a change of traffic."""
    models = {rollout.deployment: f"{rollout.model}:{rollout.version}"}
    if rollout.previous:
        models |= {rollout.previous: rollout.previous_version or ""}
    known = {name: model or None for name, model in models.items()}
    return TrafficChange(
        at=now,
        endpoint=rollout.place,
        shares=shares_of(split.live, known),
        mirror=shares_of(split.mirror, known),
        actor=engine.actor,
        reason=why,
        rollout_id=rollout.id,
    )


def mark(engine: Engine, model: str, version: str, stage: str) -> None:
    """Tag a version with how far it got. A tag that cannot be written is no reason to hold up the traffic."""
    try:
        engine.registry.set_tags(model, version, {STAGE_TAG: stage})
    except AzureRefused as error:
        logger.warning("%s:%s was not tagged %s=%s: %s", model, version, STAGE_TAG, stage, error)


def _mark_previous(engine: Engine, rollout: Rollout, stage: str) -> None:
    model, _, version = (rollout.previous_version or "").partition(":")
    if version:
        mark(engine, model, version, stage)


def mark_rolled_back(engine: Engine, rollout: Rollout) -> None:
    """Tag both versions after the traffic went back."""
    mark(engine, rollout.model, rollout.version, ROLLED_BACK)
    _mark_previous(engine, rollout, PRODUCTION)
