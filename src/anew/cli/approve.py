"""`anew approve` and `anew reject`: a person's decision on a candidate."""

import getpass
from datetime import UTC, datetime

from anew.cli.output import print_json
from anew.core.retrainings.lifecycle import Retraining
from anew.settings import load_settings
from anew.wiring import open_ledger


def approve(about: str, *, reason: str, force: bool = False, json: bool = False) -> None:
    """Approve the candidate that awaits it; reconcile registers it.

    Parameters
    ----------
    about
        A model, or the id of a retraining (r-...) or decision (d-...).
    reason
        Why, for the audit trail.
    force
        Register it whatever the gate said: one that awaits data or approval, or was rejected.
    json
        Print one JSON object.
    """
    from anew.engine.promotion.approving import decide_approval, force_approval

    ledger, by, now = open_ledger(load_settings()), getpass.getuser(), datetime.now(UTC)
    if force:
        decided = force_approval(ledger, about, by, reason, now)
    else:
        decided = decide_approval(ledger, about, True, by, reason, now)
    _show(decided, json=json)


def reject(about: str, *, reason: str, json: bool = False) -> None:
    """Reject the candidate that awaits approval.

    Parameters
    ----------
    about
        A model, or the id of a retraining (r-...) or decision (d-...).
    reason
        Why, for the audit trail.
    json
        Print one JSON object.
    """
    from anew.engine.promotion.approving import decide_approval

    ledger, by, now = open_ledger(load_settings()), getpass.getuser(), datetime.now(UTC)
    _show(decide_approval(ledger, about, False, by, reason, now), json=json)


def _show(decided: Retraining, *, json: bool) -> None:
    if json:
        print_json(
            {
                "retraining": decided.id,
                "model": decided.model,
                "state": decided.state,
                "approval": decided.approval,
                "by": decided.approval_by,
                "reason": decided.approval_reason,
            }
        )
        return
    said = f"{decided.id} of {decided.model} is {decided.approval} by {decided.approval_by}"
    rest = "; reconcile registers it" if decided.is_open else ""
    print(f"{said}{rest}. See: anew explain {decided.id}")
