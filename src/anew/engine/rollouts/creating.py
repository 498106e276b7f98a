"""Creating: create the deployment, try it, and give it the traffic of its first stage."""

from datetime import datetime

from anew.core.policies.deploy import Deploy
from anew.core.rollouts.lifecycle import Rollout, RolloutKind, RolloutMove
from anew.core.rollouts.stages import first_step
from anew.engine.base.context import Engine
from anew.engine.base.ports import DeploymentState
from anew.engine.base.transition import move_rollout
from anew.engine.rollouts.effects import take_stage


def create(engine: Engine, rollout: Rollout, rule: Deploy, now: datetime) -> Rollout:
    """Take the first stage once the deployment is ready; abort when it cannot be created, or takes too long.

    Raises AzureRefused when the deployment refuses the sample request, and TrafficMoved.
    """
    endpoints = engine.endpoints[rule.kind]
    state = endpoints.deployment_state(rollout.endpoint, rollout.deployment)
    if state is DeploymentState.ABSENT:
        model = engine.registry.get(rollout.model, rollout.version)
        if model is None:
            reason = "the model version is gone from the registry"
            return move_rollout(engine, rollout, RolloutMove.ABORT, now, reason=reason)
        endpoints.create_deployment(rollout.endpoint, rollout.deployment, model, rule)
        state = endpoints.deployment_state(rollout.endpoint, rollout.deployment)
    if state is DeploymentState.FAILED:
        reason = "the deployment could not be created"
        return move_rollout(engine, rollout, RolloutMove.ABORT, now, reason=reason)
    if state is not DeploymentState.READY:
        if now <= rollout.state_since + engine.timing.rollout_stalled:
            return rollout
        reason = f"the deployment is not ready after {now - rollout.state_since}"
        return move_rollout(engine, rollout, RolloutMove.ABORT, now, reason=reason)
    if rule.sample_request is not None and rollout.kind is RolloutKind.RELEASE:
        endpoints.score(rollout.endpoint, rule.sample_request, rollout.deployment)
    return take_stage(engine, rollout, rule, first_step(rollout, rule), now)
