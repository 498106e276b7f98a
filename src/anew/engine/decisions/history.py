"""The history of a model as a decision needs it: earlier retrainings, and the release that may be rolled back."""

from typing import assert_never

from anew.core.decisions.decision import Outcome
from anew.core.evidence.history import Attempt, AttemptState, History
from anew.core.policies.policy import Policy
from anew.core.retrainings.lifecycle import Retraining, RetrainingState, StopCause
from anew.engine.base.ledger import Ledger
from anew.engine.serving.versions import newest_release

_SHADOW_DECISIONS = 1000


def history_of(ledger: Ledger, policy: Policy) -> History:
    """The model's retrainings, newest first, the number of open retrainings of other models, and the newest release if
    the policy may roll it back. A policy in shadow mode gets the retrainings that it would have started.
    """
    own = ledger.open_retraining_of(policy.model)
    elsewhere = ledger.count_open_retrainings() - (own is not None)
    release = None if policy.limits.prefer_rollback is None else newest_release(ledger, policy.model)
    if policy.mode == "shadow":
        return History(_shadow_attempts(ledger, policy), elsewhere, release)
    known = ledger.retrainings(model=policy.model)
    return History(tuple(_attempt(each) for each in reversed(known)), elsewhere, release)


def _attempt(retraining: Retraining) -> Attempt:
    return Attempt(retraining.id, retraining.created_at, _attempt_state(retraining), retraining.charge)


def _attempt_state(retraining: Retraining) -> AttemptState:
    match retraining.state:
        case RetrainingState.REGISTERED:
            return AttemptState.REGISTERED
        case RetrainingState.REJECTED:
            return AttemptState.REJECTED
        case RetrainingState.CANCELED if retraining.stopped_for is StopCause.SUPERSEDED:
            return AttemptState.SUPERSEDED
        case RetrainingState.CANCELED | RetrainingState.FAILED:
            return AttemptState.FAILED
        case (
            RetrainingState.LAUNCHING
            | RetrainingState.TRAINING
            | RetrainingState.EVALUATING
            | RetrainingState.AWAITING_DATA
            | RetrainingState.AWAITING_APPROVAL
            | RetrainingState.REGISTERING
            | RetrainingState.CANCELING
        ):
            return AttemptState.OPEN
        case _:
            assert_never(retraining.state)


def _shadow_attempts(ledger: Ledger, policy: Policy) -> tuple[Attempt, ...]:
    charge = policy.limits.budget.per_retraining if policy.limits.budget else None
    return tuple(
        Attempt(record.id, record.decided_at, AttemptState.REGISTERED, charge)
        for record in ledger.decisions(policy.model, limit=_SHADOW_DECISIONS)
        if record.shadow and record.outcome == Outcome.RETRAIN
    )
