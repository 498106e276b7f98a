"""What people say of a candidate: yes, no, or whatever the gate said.

Needs the ledger alone, so that every door can take an answer; the next tick acts on it.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from anew.core.retrainings.lifecycle import ApprovalDecision, Retraining, RetrainingMove, RetrainingState
from anew.engine.base.ledger import Ledger
from anew.engine.base.transition import move_retraining
from anew.errors import IllegalTransition, InvalidRequest, NothingKnown, StaleWrite

_ANSWERED = {True: ApprovalDecision.APPROVED, False: ApprovalDecision.REJECTED}
_FORCIBLE = frozenset({RetrainingState.AWAITING_DATA, RetrainingState.AWAITING_APPROVAL, RetrainingState.REJECTED})
_LONGEST_NAME = 255  # characters
_ATTEMPTS = 3  # others may move a retraining between reading and answering it


class HasLedger(Protocol):
    """An engine, or less."""

    @property
    def ledger(self) -> Ledger: ...


@dataclass(frozen=True, slots=True)
class _Person:
    """Writes in the ledger in a person's name."""

    ledger: Ledger
    actor: str


def answer(engine: HasLedger, about: str, approved: bool, by: str, reason: str, now: datetime) -> Retraining:
    """Approve or reject the candidate that waits for it: of this retraining, decision or model. Once is enough.

    Raises IllegalTransition for another answer than the first, or one that comes too late; NothingKnown when nothing
    waits; StaleWrite.
    """
    given, person = _ANSWERED[approved], _person(engine, by)
    for attempt in range(_ATTEMPTS):
        found = _answerable(engine.ledger, about)
        if found.state is not RetrainingState.AWAITING_APPROVAL:
            return _as_answered(found, given)
        until = found.approval_deadline or found.state_since
        if now >= until:
            raise IllegalTransition(_too_late(found, until))
        try:
            return _say(person, found, given, reason, now)
        except StaleWrite:
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("an attempt either answers or raises")


def force(engine: HasLedger, about: str, by: str, reason: str, now: datetime) -> Retraining:
    """Have the candidate registered whatever the gate said, or nobody said. Once is enough.

    Only of a training that completed: one that is held, waits for an answer, or was rejected. Raises InvalidRequest
    without a reason, IllegalTransition for any other retraining, or when another one of the model is under way;
    NothingKnown; StaleWrite.
    """
    if not reason.strip():
        raise InvalidRequest("forcing a candidate past its gate needs a reason", advice="Give one by: --reason TEXT")
    found = _forcible(engine.ledger, about)
    if found.approval is ApprovalDecision.FORCED:
        return found
    if found.state not in _FORCIBLE:
        raise IllegalTransition(f"{found.id} of {found.model} is {found.state}: there is no candidate to force")
    other = engine.ledger.open_retraining_of(found.model)
    if other is not None and other.id != found.id:
        raise IllegalTransition(
            f"{other.id} of {found.model} is {other.state}, and a model has one retraining at a time",
            advice=f"Wait for it, or run: anew cancel {other.id} --reason TEXT",
        )
    return _say(_person(engine, by), found, ApprovalDecision.FORCED, reason, now)


_MOVES = {
    ApprovalDecision.APPROVED: RetrainingMove.APPROVED,
    ApprovalDecision.REJECTED: RetrainingMove.REJECTED,
    ApprovalDecision.FORCED: RetrainingMove.FORCED,
}


def _person(engine: HasLedger, by: str) -> _Person:
    return _Person(engine.ledger, by.strip()[:_LONGEST_NAME] or "nobody named")


def _say(person: _Person, retraining: Retraining, given: ApprovalDecision, reason: str, now: datetime) -> Retraining:
    said = f"{given} by {person.actor}: {reason}".rstrip(": ")
    return move_retraining(
        person,
        retraining,
        _MOVES[given],
        now,
        approval=given,
        approval_by=person.actor,
        approval_reason=reason,
        reason=said,
    )


def _as_answered(found: Retraining, given: ApprovalDecision) -> Retraining:
    """The retraining, when it was answered so before. Raises IllegalTransition or NothingKnown."""
    said = ApprovalDecision.APPROVED if found.approval is ApprovalDecision.FORCED else found.approval
    if said is given:
        return found
    if found.approval is not None:
        raise IllegalTransition(
            f"{found.id} of {found.model} was {found.approval} by {found.approval_by}, and cannot be {given} any more",
            advice=f"See: anew explain {found.id}",
        )
    if found.approval_deadline is not None and found.state is RetrainingState.REJECTED:
        raise IllegalTransition(_too_late(found, found.approval_deadline))
    raise NothingKnown(f"{found.id} of {found.model} is {found.state}: it waits for no answer")


def _too_late(found: Retraining, until: datetime) -> str:
    return f"{found.id} of {found.model} could be answered until {until.isoformat(' ', 'seconds')}: no answer is a no"


def _answerable(ledger: Ledger, about: str) -> Retraining:
    named = _by_id(ledger, about)
    if named is not None:
        return named
    waiting = ledger.open_retraining_of(about)
    if waiting is not None and waiting.state is RetrainingState.AWAITING_APPROVAL:
        return waiting
    newest = ledger.retrainings(model=about, limit=1)
    if newest and newest[0].approval is not None:
        return newest[0]
    raise NothingKnown(f"nothing waits for an answer under {about}")


def _forcible(ledger: Ledger, about: str) -> Retraining:
    found = _by_id(ledger, about) or ledger.open_retraining_of(about)
    newest = ledger.retrainings(model=about, limit=1)
    if found is None and newest:
        found = newest[0]
    if found is None:
        raise NothingKnown(f"no retraining is known under {about}")
    return found


def _by_id(ledger: Ledger, about: str) -> Retraining | None:
    decision = ledger.decision(about)
    return ledger.retraining((decision.retraining_id if decision else None) or about)
