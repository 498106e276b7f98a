"""Advancing one retraining as far as it can go now: the step of each state, and its deadline."""

from datetime import UTC, datetime
from typing import assert_never

from anew.core.retrainings.gating import inconclusive_until
from anew.core.retrainings.lifecycle import (
    RETRAINING_TRANSITIONS,
    Retraining,
    RetrainingMove,
    RetrainingState,
    StopCause,
)
from anew.engine.base.context import Engine
from anew.engine.base.transition import fail
from anew.engine.notifications.notify import notify_of_retraining
from anew.engine.promotion.awaiting import await_approval, await_data
from anew.engine.promotion.evaluating import watch_evaluation
from anew.engine.promotion.registering import register
from anew.engine.training.launching import launch
from anew.engine.training.stopping import finish_stopping, stop
from anew.engine.training.training import watch_training
from anew.errors import StaleWrite, UnknownModel

_STEPS_AT_MOST = 10
_NEVER = datetime.max.replace(tzinfo=UTC)


def advance_retraining(engine: Engine, retraining: Retraining, now: datetime) -> Retraining:
    """Take every step this retraining is ready for; each is safe to repeat.

    Raises TemporaryError when Azure or the ledger does not answer; the steps recorded before stay.
    """
    for _ in range(_STEPS_AT_MOST):
        try:
            moved = _step_or_time_out(engine, retraining, now)
        except StaleWrite:
            return engine.ledger.retraining(retraining.id) or retraining
        if moved.revision == retraining.revision:
            return moved
        if moved.state is not retraining.state:
            notify_of_retraining(engine, moved)
        retraining = moved
    return retraining


def deadline_of(engine: Engine, retraining: Retraining) -> datetime:
    """When the retraining has been in its state for too long, or long enough. Raises UnknownModel when its policy is
    gone.
    """
    since = retraining.state_since
    match retraining.state:
        case RetrainingState.LAUNCHING:
            deadline = since + engine.timing.launch_timeout
        case RetrainingState.TRAINING:
            deadline = since + engine.policies.for_model(retraining.model).retrain.timeout
        case RetrainingState.EVALUATING:
            deadline = since + engine.policies.for_model(retraining.model).evaluate.timeout
        case RetrainingState.AWAITING_DATA:
            gate = engine.policies.for_model(retraining.model).gate
            deadline = min(since + gate.inconclusive.every, inconclusive_until(retraining, gate))
        case RetrainingState.AWAITING_APPROVAL:
            deadline = retraining.approval_deadline or since
        case RetrainingState.REGISTERING | RetrainingState.CANCELING:
            deadline = _NEVER  # safe to repeat for as long as it takes
        case RetrainingState.REGISTERED | RetrainingState.REJECTED | RetrainingState.FAILED | RetrainingState.CANCELED:
            deadline = _NEVER
        case _:
            assert_never(retraining.state)
    return deadline


def _step_or_time_out(engine: Engine, retraining: Retraining, now: datetime) -> Retraining:
    try:
        moved = _step(engine, retraining, now)
        if moved.revision == retraining.revision and now > deadline_of(engine, moved):
            since = f"{retraining.state} since {retraining.state_since.isoformat(' ', 'seconds')}"
            why = f"timed out: {since}; its runs in Azure are cancelled"
            return _give_up(engine, moved, StopCause.TIMED_OUT, why, now)
    except UnknownModel as error:
        return _give_up(engine, retraining, StopCause.REQUESTED, str(error), now)
    return moved


def _step(engine: Engine, retraining: Retraining, now: datetime) -> Retraining:
    match retraining.state:
        case RetrainingState.LAUNCHING:
            step = launch
        case RetrainingState.TRAINING:
            step = watch_training
        case RetrainingState.EVALUATING:
            step = watch_evaluation
        case RetrainingState.AWAITING_DATA:
            step = await_data
        case RetrainingState.AWAITING_APPROVAL:
            step = await_approval
        case RetrainingState.REGISTERING:
            step = register
        case RetrainingState.CANCELING:
            step = finish_stopping
        case RetrainingState.REGISTERED | RetrainingState.REJECTED | RetrainingState.FAILED | RetrainingState.CANCELED:
            return retraining
        case _:
            assert_never(retraining.state)
    return step(engine, retraining, now)


def _give_up(engine: Engine, retraining: Retraining, cause: StopCause, why: str, now: datetime) -> Retraining:
    if RetrainingMove.STOP in RETRAINING_TRANSITIONS[retraining.state]:
        return stop(engine, retraining, cause, why, now)
    return fail(engine, retraining, why, now)
