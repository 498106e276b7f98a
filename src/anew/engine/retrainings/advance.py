"""Taking a retraining as far as it can go now: every step by its state, and a time-out for each."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from anew.core.retrainings.lifecycle import (
    OPEN_RETRAINING,
    RETRAINING_TRANSITIONS,
    Retraining,
    RetrainingMove,
    RetrainingState,
    StopCause,
)
from anew.engine.base.context import Engine
from anew.engine.base.transition import fail
from anew.engine.notifications.notify import notify_of_retraining
from anew.engine.promotion.evaluating import watch_evaluation
from anew.engine.promotion.gating import await_approval, inconclusive_until, reevaluate_when_due
from anew.engine.promotion.registering import register
from anew.engine.training.completion import watch_training
from anew.engine.training.launching import launch
from anew.engine.training.stopping import finish_stopping, stop
from anew.errors import StaleWrite, UnknownModel

Step = Callable[[Engine, Retraining, datetime], Retraining]

_STEPS: Mapping[RetrainingState, Step] = {
    RetrainingState.LAUNCHING: launch,
    RetrainingState.TRAINING: watch_training,
    RetrainingState.EVALUATING: watch_evaluation,
    RetrainingState.AWAITING_DATA: reevaluate_when_due,
    RetrainingState.AWAITING_APPROVAL: await_approval,
    RetrainingState.REGISTERING: register,
    RetrainingState.CANCELING: finish_stopping,
}
_STEPS_AT_MOST = 10
_NEVER = datetime.max.replace(tzinfo=UTC)


def advance_retraining(engine: Engine, retraining: Retraining, now: datetime) -> Retraining:
    """Take every step this retraining is ready for; each is safe to repeat.

    Raises TemporaryError when Azure or the ledger cannot be asked; what was recorded stays, and nothing is given up
    because of it.
    """
    for _ in range(_STEPS_AT_MOST):
        if retraining.state not in OPEN_RETRAINING:
            break
        try:
            moved = _step(engine, retraining, now)
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
    match retraining.state:
        case RetrainingState.LAUNCHING:
            return retraining.state_since + engine.timing.launch_timeout
        case RetrainingState.TRAINING:
            return retraining.state_since + engine.policies.for_model(retraining.model).retrain.timeout
        case RetrainingState.EVALUATING:
            return retraining.state_since + engine.policies.for_model(retraining.model).evaluate.timeout
        case RetrainingState.AWAITING_DATA:
            gate = engine.policies.for_model(retraining.model).gate
            return min(retraining.state_since + gate.inconclusive.every, inconclusive_until(retraining, gate))
        case RetrainingState.AWAITING_APPROVAL:
            return retraining.approval_deadline or retraining.state_since
        case _:
            return _NEVER


def _step(engine: Engine, retraining: Retraining, now: datetime) -> Retraining:
    try:
        moved = _STEPS[retraining.state](engine, retraining, now)
        if moved.revision == retraining.revision and now > deadline_of(engine, moved):
            since = f"{retraining.state} since {retraining.state_since.isoformat(' ', 'seconds')}"
            why = f"timed out: {since}; what runs of it in Azure is cancelled"
            return _give_up(engine, moved, StopCause.TIMED_OUT, why, now)
    except UnknownModel as error:
        return _give_up(engine, retraining, StopCause.REQUESTED, str(error), now)
    return moved


def _give_up(engine: Engine, retraining: Retraining, cause: StopCause, why: str, now: datetime) -> Retraining:
    if RetrainingMove.STOP in RETRAINING_TRANSITIONS[retraining.state]:
        return stop(engine, retraining, cause, why, now)
    return fail(engine, retraining, why, now)
