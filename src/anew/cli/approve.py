"""`anew approve` and `anew reject`: the decision of a person about a candidate."""

import getpass
from dataclasses import dataclass
from datetime import UTC, datetime

from anew.cli.output import print_json
from anew.core.retrainings.lifecycle import Retraining
from anew.engine.base.ledger import Ledger
from anew.settings import load_settings
from anew.wiring import open_ledger


@dataclass(frozen=True, slots=True)
class _LedgerOnly:
    """All that an answer needs, so that these commands work without access to Azure."""

    ledger: Ledger


def approve(about: str, *, reason: str, force: bool = False, json: bool = False) -> None:
    """Approve a candidate that waits for an answer; reconcile registers it.

    Parameters
    ----------
    about
        A model, or the id of a retraining (r-...) or decision (d-...).
    reason
        The reason, for the audit trail.
    force
        Register the candidate whatever the gate found, even when it was rejected or waits for more data.
    json
        Print one JSON object.
    """
    from anew.engine.promotion.approving import answer
    from anew.engine.promotion.approving import force as force_through

    access, by, now = _LedgerOnly(open_ledger(load_settings())), getpass.getuser(), datetime.now(UTC)
    answered = force_through(access, about, by, reason, now) if force else answer(access, about, True, by, reason, now)
    _show(answered, json=json)


def reject(about: str, *, reason: str, json: bool = False) -> None:
    """Reject a candidate that waits for an answer.

    Parameters
    ----------
    about
        A model, or the id of a retraining (r-...) or decision (d-...).
    reason
        The reason, for the audit trail.
    json
        Print one JSON object.
    """
    from anew.engine.promotion.approving import answer

    access, by = _LedgerOnly(open_ledger(load_settings())), getpass.getuser()
    _show(answer(access, about, False, by, reason, datetime.now(UTC)), json=json)


def _show(answered: Retraining, *, json: bool) -> None:
    if json:
        print_json(
            {
                "retraining": answered.id,
                "model": answered.model,
                "state": answered.state,
                "approval": answered.approval,
                "by": answered.approval_by,
                "reason": answered.approval_reason,
            }
        )
        return
    result = f"{answered.id} of {answered.model} is {answered.approval} by {answered.approval_by}"
    rest = "; reconcile registers it" if answered.is_open else ""
    print(f"{result}{rest}. See: anew explain {answered.id}")
