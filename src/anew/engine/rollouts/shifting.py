"""Shifting: go on to the next stage when this one has passed, or abort."""

from datetime import datetime

from anew.core.policies.deploy import Deploy
from anew.core.rollouts.canary import StageOutcome
from anew.core.rollouts.lifecycle import Rollout, RolloutMove
from anew.core.rollouts.progress import is_due, reason_to_abort
from anew.core.rollouts.stages import shown_stage
from anew.engine.base.context import Engine
from anew.engine.base.transition import move_rollout
from anew.engine.rollouts.effects import shown_split, take_stage
from anew.engine.rollouts.measuring import measure


def shift(engine: Engine, rollout: Rollout, rule: Deploy, now: datetime) -> Rollout:
    """Go on, stay or abort, by the time, the requests and the analysis of the stage. Raises TrafficMoved."""
    stage, following = rule.steps[rollout.step], rollout.step + 1
    if shown_stage(rollout, rule, shown_split(engine, rule), (rollout.step, following)) == following:
        # An earlier pass wrote the next stage and died before it could record that.
        return take_stage(engine, rollout, rule, following, now)
    if rule.analysis is not None or stage.min_requests:
        if not is_due(rollout, rule, now):
            return rollout
        rollout, measurement = measure(engine, rollout, rule, stage, now)
        reason = reason_to_abort(rollout, rule, stage, measurement, engine.timing.rollout_stalled, now)
        if reason is not None:
            return move_rollout(engine, rollout, RolloutMove.ABORT, now, reason=reason)
        if measurement.outcome is not StageOutcome.PASS:
            return rollout
    if now < rollout.state_since + stage.wait:
        return rollout
    return take_stage(engine, rollout, rule, following, now)
