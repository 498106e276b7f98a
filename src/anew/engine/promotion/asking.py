"""Asking people whether a candidate may be registered: one open form for each retraining that waits, and no other."""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from anew.core.retrainings.lifecycle import Retraining, RetrainingState
from anew.engine.base.ledger import Ledger
from anew.engine.base.ports import Forms
from anew.engine.promotion.approving import HasLedger
from anew.errors import NothingKnown

GRACE = timedelta(minutes=1)  # for the event that asks to have started the form by itself


@dataclass(frozen=True, slots=True)
class LedgerAlone:
    """All that asking and answering needs: a door works though a policy is broken, or Azure is away."""

    ledger: Ledger


@dataclass(frozen=True, slots=True)
class Question:
    """A retraining, and how many seconds an answer is still taken; None when it waits for none."""

    retraining: Retraining
    seconds_left: int | None


@dataclass(frozen=True, slots=True)
class FormsKept:
    """Retrainings a form was opened for, and those whose form was withdrawn."""

    asked: tuple[str, ...] = ()
    withdrawn: tuple[str, ...] = ()


def question_of(engine: HasLedger, retraining_id: str, now: datetime) -> Question:
    """What is asked about this retraining. Raises NothingKnown."""
    found = engine.ledger.retraining(retraining_id)
    if found is None:
        raise NothingKnown(f"no retraining {retraining_id} is known")
    if found.state is not RetrainingState.AWAITING_APPROVAL or found.approval_deadline is None:
        return Question(found, None)
    left = math.ceil((found.approval_deadline - now).total_seconds())
    return Question(found, left if left > 0 else None)


def keep_forms(engine: HasLedger, forms: Forms, now: datetime, grace: timedelta = GRACE) -> FormsKept:
    """Open the forms that the event did not open, and withdraw those answered elsewhere. Raises PrefectUnavailable."""
    unfinished = forms.unfinished()
    # After the forms, so that one opened in between is not taken for one that nobody waits for.
    waiting = {each.id: each for each in engine.ledger.retrainings([RetrainingState.AWAITING_APPROVAL])}
    stale = {form: about for form, about in unfinished.items() if about not in waiting}
    for form, about in stale.items():
        forms.withdraw(form, f"{about} waits for no answer any more. See: anew explain {about}")
    asked = set(unfinished.values())
    missing = [each for each in waiting.values() if each.id not in asked and now - each.state_since >= grace]
    for retraining in missing:
        forms.ask(retraining)
    return FormsKept(tuple(each.id for each in missing), tuple(stale.values()))
