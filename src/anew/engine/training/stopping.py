"""Giving a retraining up: what runs outside is cancelled, and only when nothing runs any more is it over."""

from datetime import datetime

from anew.core.retrainings.lifecycle import Retraining, RetrainingMove, RetrainingState, StopCause
from anew.engine.base.context import Engine
from anew.engine.base.ports import RunStatus
from anew.engine.base.transition import move_retraining, note_retraining
from anew.engine.training.intents import may_appear_late
from anew.engine.training.launching import order_of
from anew.errors import NothingKnown


def stop(engine: Engine, retraining: Retraining, cause: StopCause, why: str, now: datetime) -> Retraining:
    """Give this retraining up. From here on it can only end, however its training ends.

    Raises StaleWrite, or IllegalTransition for one that has ended or is being registered.
    """
    return move_retraining(engine, retraining, RetrainingMove.STOP, now, stopped_for=cause, reason=why)


def request_stop(engine: Engine, about: str, why: str, now: datetime) -> Retraining:
    """Give up the retraining of this id, or the one of this model that is under way; once is enough.

    Raises NothingKnown when there is none, StaleWrite, or IllegalTransition for one that cannot be stopped any more.
    """
    found = engine.ledger.open_retraining_of(about) or engine.ledger.retraining(about)
    if found is None:
        raise NothingKnown(f"no retraining is under way for {about}, and none has this id")
    if found.state is RetrainingState.CANCELING:
        return found
    return stop(engine, found, StopCause.REQUESTED, why, now)


def finish_stopping(engine: Engine, retraining: Retraining, now: datetime) -> Retraining:
    """Cancel what still runs outside; when nothing does, the retraining is over. Safe to repeat.

    A pipeline is stopped before the job it may be about to start is looked for, so that none is left behind. Raises
    AzureUnavailable when Azure cannot be asked.
    """
    known = _find_run(engine, retraining, now)
    if _is_launch_unknown(known) and may_appear_late(engine, known, now):
        return known
    if _stop_pipeline(engine, known) or _stop_jobs(engine, known, now):
        return known
    timed_out = known.stopped_for is StopCause.TIMED_OUT
    return move_retraining(engine, known, RetrainingMove.FAILED if timed_out else RetrainingMove.CANCELED, now)


def _find_run(engine: Engine, retraining: Retraining, now: datetime) -> Retraining:
    if not _is_launch_unknown(retraining):
        return retraining
    run_id = engine.launchers[retraining.launcher].find(order_of(retraining))
    if run_id is None:
        return retraining
    return note_retraining(engine, retraining, "run-found", now, external_run_id=run_id, intended_at=None)


def _is_launch_unknown(retraining: Retraining) -> bool:
    """Whether a launch was intended, and nobody knows yet what came of it."""
    ours = not retraining.is_adopted
    return ours and retraining.external_run_id is None and retraining.intended_at is not None


def _stop_pipeline(engine: Engine, retraining: Retraining) -> bool:
    """Whether the launched run still runs, after it was asked to end."""
    if retraining.external_run_id is None:
        return False
    launcher, order = engine.launchers[retraining.launcher], order_of(retraining)
    view = launcher.view(order, retraining.external_run_id)
    if view is None or view.status is not RunStatus.RUNNING:
        return False
    launcher.cancel(order, retraining.external_run_id)
    return True


def _stop_jobs(engine: Engine, retraining: Retraining, now: datetime) -> bool:
    """Whether a job of the retraining still runs, after each was asked to end, or may yet turn up: a pipeline that ends
    leaves the job it started running, and an evaluation may be on its way.
    """
    running = False
    ours = (retraining.evaluation_job,) if retraining.is_adopted else (retraining.job_name, retraining.evaluation_job)
    for name in ours:
        view = engine.jobs.get(name)
        if view is None:
            running |= may_appear_late(engine, retraining, now)
        elif view.status is RunStatus.RUNNING:
            engine.jobs.cancel(name)
            running = True
    return running
