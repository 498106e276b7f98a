"""Watching the training of a candidate."""

from datetime import datetime

from anew.core.lifecycle import Retraining, RetrainingMove
from anew.engine.context import Engine
from anew.engine.launching import order_of
from anew.engine.ports import RunStatus, RunView
from anew.engine.serving import champion_version
from anew.engine.transition import fail, move_retraining


def watch_training(engine: Engine, retraining: Retraining, now: datetime) -> Retraining:
    """Go on to the evaluation when the training has completed."""
    policy = engine.policies.for_model(retraining.model)
    view = _training_view(engine, retraining)
    match view.status if view else RunStatus.RUNNING:
        case RunStatus.COMPLETED:
            champion = champion_version(engine, policy)
            return move_retraining(engine, retraining, RetrainingMove.TRAINED, now, champion_version=champion)
        case RunStatus.FAILED | RunStatus.CANCELED as status:
            detail = view.detail if view else ""
            return fail(engine, retraining, f"the training run {status}: {detail}".rstrip(": "), now)
        case RunStatus.RUNNING:
            return retraining


def _training_view(engine: Engine, retraining: Retraining) -> RunView | None:
    job = engine.jobs.get(retraining.job_name)
    if job is not None:
        return job
    run = engine.launchers[retraining.launcher].view(order_of(retraining), retraining.external_run_id or "")
    if run is None or run.status is not RunStatus.COMPLETED:
        return run
    return RunView(RunStatus.FAILED, {}, f"the pipeline succeeded, but no Azure ML job is named {retraining.job_name}")
