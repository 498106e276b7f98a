"""A person approves, rejects or forces a candidate; the next tick acts on it.

Needs the ledger alone, so that it works while a policy is broken or Azure is away.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from anew.core.retrainings.lifecycle import ApprovalDecision, Retraining, RetrainingMove, RetrainingState
from anew.engine.base.ledger import Ledger
from anew.engine.base.transition import move_retraining
from anew.errors import IllegalTransition, InvalidRequest, NothingKnown, StaleWrite

_FORCIBLE = frozenset({RetrainingState.AWAITING_DATA, RetrainingState.AWAITING_APPROVAL, RetrainingState.REJECTED})
_LONGEST_NAME = 255  # characters
_ATTEMPTS = 3  # another worker may move a retraining after it was read


@dataclass(frozen=True, slots=True)
class _Person:
    """Writes to the ledger in a person's name."""

    ledger: Ledger
    actor: str


def decide_approval(ledger: Ledger, about: str, approved: bool, by: str, reason: str, now: datetime) -> Retraining:
    """Approve or reject the candidate of this retraining, decision or model. Repeating it changes nothing.

    Raises IllegalTransition when the opposite was decided before or the deadline is over; NothingKnown when no
    candidate awaits approval; StaleWrite.
    """
    decision = ApprovalDecision.APPROVED if approved else ApprovalDecision.REJECTED
    for _ in range(_ATTEMPTS - 1):
        with suppress(StaleWrite):
            return _decide(ledger, about, decision, by, reason, now)
    return _decide(ledger, about, decision, by, reason, now)


def force_approval(ledger: Ledger, about: str, by: str, reason: str, now: datetime) -> Retraining:
    """Have the candidate registered whatever the gate or a person said. Repeating it changes nothing.

    The training must have completed: the retraining awaits data or approval, or was rejected. Raises InvalidRequest
    without a reason; IllegalTransition in any other state, or while the model has another open retraining;
    NothingKnown; StaleWrite.
    """
    if not reason.strip():
        raise InvalidRequest("forcing a candidate past its gate needs a reason", advice="Give one by: --reason TEXT")
    found = _by_id(ledger, about) or ledger.open_retraining_of(about) or _newest(ledger, about)
    if found is None:
        raise NothingKnown(f"no retraining is known under {about}")
    if found.approval is ApprovalDecision.FORCED:
        return found
    if found.state not in _FORCIBLE:
        raise IllegalTransition(f"{found.id} of {found.model} is {found.state}: there is no candidate to force")
    other = ledger.open_retraining_of(found.model)
    if other is not None and other.id != found.id:
        raise IllegalTransition(
            f"{other.id} of {found.model} is {other.state}, and a model has one retraining at a time",
            advice=f"Wait for it, or run: anew cancel {other.id} --reason TEXT",
        )
    return _record(ledger, found, ApprovalDecision.FORCED, by, reason, now)


def _decide(ledger: Ledger, about: str, decision: ApprovalDecision, by: str, reason: str, now: datetime) -> Retraining:
    found = _to_decide(ledger, about)
    if found.state is not RetrainingState.AWAITING_APPROVAL:
        return _decided_before(found, decision)
    until = found.approval_deadline or found.state_since
    if now >= until:
        raise IllegalTransition(_too_late(found, until))
    return _record(ledger, found, decision, by, reason, now)


def _record(
    ledger: Ledger, retraining: Retraining, decision: ApprovalDecision, by: str, reason: str, now: datetime
) -> Retraining:
    person = _Person(ledger, by.strip()[:_LONGEST_NAME] or "unnamed")
    return move_retraining(
        person,
        retraining,
        RetrainingMove(decision),  # they have the same names
        now,
        approval=decision,
        approval_by=person.actor,
        approval_reason=reason,
        reason=f"{decision} by {person.actor}: {reason}".rstrip(": "),
    )


def _decided_before(found: Retraining, decision: ApprovalDecision) -> Retraining:
    """The retraining, if the same was decided before. Raises IllegalTransition or NothingKnown."""
    before = ApprovalDecision.APPROVED if found.approval is ApprovalDecision.FORCED else found.approval
    if before is decision:
        return found
    if found.approval is not None:
        raise IllegalTransition(
            f"{found.id} of {found.model} was {found.approval} by {found.approval_by}, and can no longer be {decision}",
            advice=f"See: anew explain {found.id}",
        )
    if found.approval_deadline is not None and found.state is RetrainingState.REJECTED:
        raise IllegalTransition(_too_late(found, found.approval_deadline))
    raise NothingKnown(f"{found.id} of {found.model} is {found.state}: it does not await approval")


def _too_late(found: Retraining, until: datetime) -> str:
    return f"the deadline of {found.id} of {found.model} was {until.isoformat(' ', 'seconds')}: no answer is a no"


def _to_decide(ledger: Ledger, about: str) -> Retraining:
    """The retraining of this id or decision; of a model, the one that awaits approval or was decided last."""
    named = _by_id(ledger, about)
    if named is not None:
        return named
    current = ledger.open_retraining_of(about)
    if current is not None and current.state is RetrainingState.AWAITING_APPROVAL:
        return current
    newest = _newest(ledger, about)
    if newest is not None and newest.approval is not None:
        return newest
    raise NothingKnown(f"nothing awaits approval under {about}")


def _by_id(ledger: Ledger, about: str) -> Retraining | None:
    decision = ledger.decision(about)
    return ledger.retraining((decision.retraining_id if decision else None) or about)


def _newest(ledger: Ledger, model: str) -> Retraining | None:
    return next(iter(ledger.retrainings(model=model, limit=1)), None)
