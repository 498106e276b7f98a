"""`anew approve` and `anew reject`: a person's word on a candidate."""

import getpass
from dataclasses import dataclass
from datetime import UTC, datetime

from anew.cli.output import print_json
from anew.core.retrainings.lifecycle import Retraining
from anew.engine.base.ledger import Ledger
from anew.settings import load_settings
from anew.wiring import open_ledger


@dataclass(frozen=True, slots=True)
class _Door:
    """All that an answer needs: nothing of Azure."""

    ledger: Ledger


def approve(about: str, *, reason: str, force: bool = False, json: bool = False) -> None:
    """Agree to the candidate that waits for it; reconcile registers it.

    Parameters
    ----------
    about
        A model, or the id of a retraining (r-...) or decision (d-...).
    reason
        Why, for the audit trail.
    force
        Register it whatever the gate said: one that is held, waits for an answer, or was rejected.
    json
        Print one JSON object.
    """
    from anew.engine.promotion.approving import answer
    from anew.engine.promotion.approving import force as force_through

    door, by, now = _Door(open_ledger(load_settings())), getpass.getuser(), datetime.now(UTC)
    answered = force_through(door, about, by, reason, now) if force else answer(door, about, True, by, reason, now)
    _show(answered, json=json)


def reject(about: str, *, reason: str, json: bool = False) -> None:
    """Turn the candidate down that waits for an answer.

    Parameters
    ----------
    about
        A model, or the id of a retraining (r-...) or decision (d-...).
    reason
        Why, for the audit trail.
    json
        Print one JSON object.
    """
    from anew.engine.promotion.approving import answer

    door, by = _Door(open_ledger(load_settings())), getpass.getuser()
    _show(answer(door, about, False, by, reason, datetime.now(UTC)), json=json)


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
    said = f"{answered.id} of {answered.model} is {answered.approval} by {answered.approval_by}"
    rest = "; reconcile registers it" if answered.is_open else ""
    print(f"{said}{rest}. See: anew explain {answered.id}")
