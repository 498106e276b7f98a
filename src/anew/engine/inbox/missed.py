"""What Azure knows to have happened that somebody here may have to act on, whether or not an event told of it."""

from datetime import datetime

from anew.core.events.event import Event
from anew.core.retrainings.lineage_tags import RETRAINING_TAG
from anew.engine.base.context import Engine


def watched_drift(engine: Engine, since: datetime, until: datetime) -> list[Event]:
    """Drift of the monitors that policies name. Raises AzureUnavailable, AzureRefused."""
    monitors = {name for policy in engine.policies.all for name in policy.monitors}
    return engine.missed.drift(monitors, since, until)


def adoptable_runs(engine: Engine, since: datetime, until: datetime) -> list[Event]:
    """Completed runs of others in experiments that a policy claims. Raises AzureUnavailable, AzureRefused."""
    active = (policy for policy in engine.policies.all if policy.mode == "active")
    experiments = {claim.experiment for policy in active for claim in policy.retrain.adopt}
    if not experiments:
        return []
    completed = engine.missed.completed(experiments, since, until)
    return [event for event in completed if RETRAINING_TAG not in (event.tags or {})]
