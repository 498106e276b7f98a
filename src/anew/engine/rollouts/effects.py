"""The effects of a rollout on its endpoint and its versions, shared by the states.

A stage is written before it is recorded. After a crash in between, the endpoint shows the split of the next stage,
which is then only recorded. A split of no stage was written outside anew, and is never overwritten.
"""

import logging
from datetime import datetime
from typing import Literal

from anew.core.policies.deploy import Deploy
from anew.core.retrainings.lineage_tags import STAGE_TAG
from anew.core.rollouts.lifecycle import Rollout, RolloutMove
from anew.core.rollouts.stages import Split, shown_stage, split_at, stage_name, takes_all, traffic_change
from anew.core.rollouts.traffic import nonzero
from anew.engine.base.context import Engine
from anew.engine.base.transition import move_rollout
from anew.engine.serving.versions import view_of
from anew.errors import AzureRefused

logger = logging.getLogger(__name__)

Mark = Literal["production", "retired", "rolled-back"]


def take_stage(engine: Engine, rollout: Rollout, rule: Deploy, step: int, now: datetime) -> Rollout:
    """Write the split of a stage and record it. Raises TrafficMoved when the endpoint shows that of neither this stage
    nor the one before.
    """
    wanted, shown = split_at(rollout, rule, step), shown_split(engine, rule)
    shown_stage(rollout, rule, shown, (rollout.step, step))
    write_split(engine, rollout, rule, wanted, shown)
    reason = rollout.request_reason or f"rollout of {rollout.model}:{rollout.version}"
    change = traffic_change(rollout, wanted, engine.actor, f"{reason}: {stage_name(rule.steps[step])}", now)
    is_last = takes_all(rule, step)
    if is_last:
        mark_versions(engine, rollout, "production", "retired")
    move = RolloutMove.FILLED if is_last else RolloutMove.STEPPED
    fresh = {"step": step, "measurements": 0, "failures": 0, "errors": 0, "measured_at": None, "reason": None}
    return move_rollout(engine, rollout, move, now, change, **fresh)


def shown_split(engine: Engine, rule: Deploy) -> Split:
    """The split as Azure shows it now."""
    view = view_of(engine, rule)
    return Split(nonzero(view.traffic), nonzero(view.mirror)) if view else Split({})


def write_split(engine: Engine, rollout: Rollout, rule: Deploy, wanted: Split, shown: Split) -> None:
    """Write a split over the one that the endpoint was seen to show, unless they are equal.

    Raises TrafficMoved when it does not show that any more.
    """
    if shown == wanted:
        return
    ours = (rollout.deployment, rollout.previous)
    zeroed = {name: 0 for name in ours if name and name not in wanted.live and name in shown.live}
    engine.endpoints[rule.kind].set_traffic(
        rollout.endpoint, {**wanted.live, **zeroed}, mirror=dict(wanted.mirror), expected=dict(shown.live)
    )


def delete_deployment(engine: Engine, rule: Deploy, name: str) -> None:
    """Delete a deployment, or log that Azure refused: one that stays costs money, but must not stop the rollout."""
    try:
        engine.endpoints[rule.kind].delete_deployment(rule.endpoint, name)
    except AzureRefused as error:
        logger.warning("%s/%s was not deleted: %s", rule.endpoint, name, error)


def mark_versions(engine: Engine, rollout: Rollout, mark: Mark, previous_mark: Mark) -> None:
    """Tag the new and the previous version with how far they got, or log that Azure refused."""
    marks = {f"{rollout.model}:{rollout.version}": mark, rollout.previous_version or "": previous_mark}
    for reference, value in marks.items():
        model, _, version = reference.partition(":")
        try:
            if version:
                engine.registry.set_tags(model, version, {STAGE_TAG: value})
        except AzureRefused as error:
            logger.warning("%s was not tagged %s=%s: %s", reference, STAGE_TAG, value, error)
