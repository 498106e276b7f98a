"""Forms by which people approve candidates: one open form for each that awaits approval, and no other."""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from anew.core.retrainings.lifecycle import Retraining, RetrainingState
from anew.engine.base.ledger import Ledger
from anew.engine.base.ports import Forms
from anew.errors import NothingKnown

GRACE = timedelta(minutes=1)  # for the form that the event of the request opens


@dataclass(frozen=True, slots=True)
class PendingApproval:
    """A retraining, and how many seconds are left to approve it; None when it does not await approval."""

    retraining: Retraining
    seconds_left: int | None


@dataclass(frozen=True, slots=True)
class SyncedForms:
    """Ids of the retrainings whose forms were opened, and of those whose forms were withdrawn."""

    opened: tuple[str, ...] = ()
    withdrawn: tuple[str, ...] = ()


def pending_approval(ledger: Ledger, retraining_id: str, now: datetime) -> PendingApproval:
    """The retraining as it stands, and the time left to approve it. Raises NothingKnown."""
    found = ledger.retraining(retraining_id)
    if found is None:
        raise NothingKnown(f"no retraining {retraining_id} is known")
    if found.state is not RetrainingState.AWAITING_APPROVAL or found.approval_deadline is None:
        return PendingApproval(found, None)
    left = math.ceil((found.approval_deadline - now).total_seconds())
    return PendingApproval(found, left if left > 0 else None)


def sync_forms(ledger: Ledger, forms: Forms, now: datetime, grace: timedelta = GRACE) -> SyncedForms:
    """Open the forms that no event opened, and withdraw those decided elsewhere. Raises PrefectUnavailable."""
    unfinished = forms.unfinished()
    # Read after the forms: a form opened in between belongs to a retraining in this list.
    waiting = {each.id: each for each in ledger.retrainings([RetrainingState.AWAITING_APPROVAL])}
    stale = {form: about for form, about in unfinished.items() if about not in waiting}
    for form, about in stale.items():
        forms.withdraw(form, f"{about} no longer awaits approval. See: anew explain {about}")
    with_form = set(unfinished.values())
    missing = [each for each in waiting.values() if each.id not in with_form and now - each.state_since >= grace]
    for retraining in missing:
        forms.ask(retraining)
    return SyncedForms(tuple(each.id for each in missing), tuple(stale.values()))
