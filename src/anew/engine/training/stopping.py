"""The state `canceling`: a retraining is stopped by cancelling its runs in Azure, and ends once all have stopped."""

from datetime import datetime

from anew.core.retrainings.lifecycle import Retraining, RetrainingMove, RetrainingState, StopCause
from anew.engine.base.context import Engine
from anew.engine.base.ports import RunStatus
from anew.engine.base.transition import move_retraining, note_retraining
from anew.engine.training.launching import may_appear_late, order_of
from anew.errors import NothingKnown


def stop(engine: Engine, retraining: Retraining, cause: StopCause, why: str, now: datetime) -> Retraining:
    """Stop this retraining: from here on it can only end, whatever its training does.

    Raises StaleWrite, or IllegalTransition for one that has ended or is being registered.
    """
    return move_retraining(engine, retraining, RetrainingMove.STOP, now, stopped_for=cause, reason=why)


def request_stop(engine: Engine, about: str, why: str, now: datetime) -> Retraining:
    """Stop the retraining with this id, or the open one of this model. Repeating it changes nothing.

    Raises NothingKnown when there is none, StaleWrite, or IllegalTransition for one that can no longer be stopped.
    """
    found = engine.ledger.open_retraining_of(about) or engine.ledger.retraining(about)
    if found is None:
        raise NothingKnown(f"{about} has no open retraining, and is not the id of one")
    if found.state is RetrainingState.CANCELING:
        return found
    return stop(engine, found, StopCause.REQUESTED, why, now)


def finish_stopping(engine: Engine, retraining: Retraining, now: datetime) -> Retraining:
    """Cancel what still runs in Azure; end the retraining when nothing does. Safe to repeat.

    The pipeline is stopped first, because it may be about to start the job, which would then be left running. Raises
    AzureUnavailable.
    """
    if not retraining.is_adopted and retraining.external_run_id is None and retraining.intended_at is not None:
        # A launch was intended, and its result is not recorded.
        run_id = engine.launchers[retraining.launcher].find(order_of(retraining))
        if run_id is not None:
            retraining = note_retraining(engine, retraining, "run-found", now, external_run_id=run_id, intended_at=None)
        elif may_appear_late(engine, retraining, now):
            return retraining
    if _stop_pipeline(engine, retraining) or _stop_jobs(engine, retraining, now):
        return retraining
    timed_out = retraining.stopped_for is StopCause.TIMED_OUT
    return move_retraining(engine, retraining, RetrainingMove.FAILED if timed_out else RetrainingMove.CANCELED, now)


def _stop_pipeline(engine: Engine, retraining: Retraining) -> bool:
    """Cancel the launched run if it still runs; returns whether it did."""
    if retraining.external_run_id is None:
        return False
    launcher, order = engine.launchers[retraining.launcher], order_of(retraining)
    view = launcher.view(order, retraining.external_run_id)
    if view is None or view.status is not RunStatus.RUNNING:
        return False
    launcher.cancel(order, retraining.external_run_id)
    return True


def _stop_jobs(engine: Engine, retraining: Retraining, now: datetime) -> bool:
    """Cancel the jobs that still run; returns whether one did, or may still appear: a pipeline that ends leaves its job
    running, and an evaluation may just have been requested. An adopted training is not cancelled.
    """
    running = False
    own_training = () if retraining.is_adopted else (retraining.job_name,)
    for name in (*own_training, retraining.evaluation_job):
        view = engine.jobs.get(name)
        if view is None:
            running |= may_appear_late(engine, retraining, now)
        elif view.status is RunStatus.RUNNING:
            engine.jobs.cancel(name)
            running = True
    return running
