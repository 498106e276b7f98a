"""The states `awaiting-data` and `awaiting-approval`: a candidate that needs more rows, or a person's approval."""

from datetime import datetime

from anew.core.retrainings.gating import after_waiting, evaluate_again, inconclusive_until
from anew.core.retrainings.lifecycle import Retraining, RetrainingMove
from anew.engine.base.context import Engine
from anew.engine.base.transition import move_retraining
from anew.engine.serving.versions import champion_version


def await_data(engine: Engine, retraining: Retraining, now: datetime) -> Retraining:
    """Evaluate again from time to time, against the version then in production, until the policy resolves it."""
    policy = engine.policies.for_model(retraining.model)
    if now >= inconclusive_until(retraining, policy.gate):
        move, changes = after_waiting(retraining, policy.gate, now)
    elif now >= retraining.state_since + policy.gate.inconclusive.every:
        move, changes = evaluate_again(retraining, champion_version(engine, policy))
    else:
        return retraining
    return move_retraining(engine, retraining, move, now, **changes)


def await_approval(engine: Engine, retraining: Retraining, now: datetime) -> Retraining:
    """Reject the candidate at its deadline. Approvals come in by `approving`."""
    until = retraining.approval_deadline or retraining.state_since
    if now < until:
        return retraining
    reason = f"no approval until {until.isoformat(' ', 'seconds')}: no answer is a no"
    return move_retraining(engine, retraining, RetrainingMove.REJECTED, now, reason=reason)
