"""Measuring a stage or a bake by the requests that the deployments answered."""

from datetime import datetime

from anew.core.policies.deploy import Deploy, Step
from anew.core.rollouts.lifecycle import Rollout, RolloutState
from anew.core.rollouts.progress import Measurement, counts_with, judge
from anew.core.rollouts.traffic import RequestStats
from anew.engine.base.context import Engine
from anew.engine.base.transition import note_rollout
from anew.errors import AzureRefused, TemporaryError


def measure(engine: Engine, rollout: Rollout, rule: Deploy, stage: Step, now: datetime) -> tuple[Rollout, Measurement]:
    """Measure the stage and record it; returns the rollout with the measurement counted. Raises StaleWrite."""
    try:
        new, old = _request_stats(engine, rollout, rule, now)
    except (TemporaryError, AzureRefused) as error:
        measurement = Measurement(None, f"could not be measured: {error}")
    else:
        measurement = judge(rollout, rule, stage, new, old)
    reason = f"{measurement.outcome or 'error'}: {measurement.sentence}"
    counts = counts_with(rollout, measurement)
    return note_rollout(engine, rollout, "measured", now, measured_at=now, reason=reason, **counts), measurement


def _request_stats(
    engine: Engine, rollout: Rollout, rule: Deploy, now: datetime
) -> tuple[RequestStats, RequestStats | None]:
    """The requests that the new deployment answered since the stage began, and those of the old one: in the same time
    or, in a bake, before it lost its traffic. None when there is no old deployment.
    """
    scores = rule.analysis is not None and rule.analysis.max_score_shift is not None
    names = [rollout.deployment, *([rollout.previous] if rollout.previous else [])]
    read = engine.traffic_log.read
    stats = read(rollout.endpoint, names, rollout.state_since, now, scores=scores)
    new = stats[rollout.deployment]
    if rollout.previous is None:
        return new, None
    if rollout.state is RolloutState.BAKING:
        stats = read(rollout.endpoint, [rollout.previous], rollout.created_at, rollout.state_since, scores=scores)
    return new, stats[rollout.previous]
