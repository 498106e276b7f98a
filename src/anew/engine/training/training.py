"""The state `training`: wait until the launched, or adopted, training has ended."""

from datetime import datetime

from anew.core.retrainings.lifecycle import Retraining, RetrainingMove
from anew.engine.base.context import Engine
from anew.engine.base.ports import RunStatus, RunView
from anew.engine.base.transition import fail, move_retraining
from anew.engine.serving.versions import champion_version
from anew.engine.training.launching import order_of

_DATA_HASH = "data_hash"  # the tag with which a training reports the hash of its rows
_LONGEST_HASH = 255  # characters
_LONGEST_COMMIT = 64


def watch_training(engine: Engine, retraining: Retraining, now: datetime) -> Retraining:
    """Go on to the evaluation, against the version in production now, when the training has completed."""
    policy = engine.policies.for_model(retraining.model)
    view = _training_view(engine, retraining)
    if view is None or view.status is RunStatus.RUNNING:
        return retraining
    if view.status is not RunStatus.COMPLETED:
        return fail(engine, retraining, f"the training run {view.status}: {view.detail}".rstrip(": "), now)
    return move_retraining(
        engine,
        retraining,
        RetrainingMove.TRAINED,
        now,
        champion_version=champion_version(engine, policy),
        training_data=view.tags.get(_DATA_HASH, "")[:_LONGEST_HASH] or None,
        git_commit=view.git_commit[:_LONGEST_COMMIT] or None,
    )


def _training_view(engine: Engine, retraining: Retraining) -> RunView | None:
    job = engine.jobs.get(retraining.job_name)
    if job is not None:
        return job
    if retraining.is_adopted:
        return RunView(RunStatus.FAILED, {}, "Azure no longer has this run")
    run = engine.launchers[retraining.launcher].view(order_of(retraining), retraining.external_run_id or "")
    if run is None or run.status is not RunStatus.COMPLETED:
        return run
    # Between the two requests the pipeline may have started its job, and both may have ended.
    missing = RunView(
        RunStatus.FAILED, {}, f"the pipeline succeeded, but no Azure ML job is named {retraining.job_name}"
    )
    return engine.jobs.get(retraining.job_name) or missing
