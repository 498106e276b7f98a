"""Act on a recorded decision: launch the training, or roll back, and notify people."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from anew.core.decisions.decision import Decision
from anew.core.evidence.signals import Evidence
from anew.core.retrainings.lifecycle import Retraining
from anew.engine.base.context import Engine
from anew.engine.base.ledger import DecisionRecord
from anew.engine.decisions.record import Recorded
from anew.engine.decisions.rolling_back import roll_back_as_decided
from anew.engine.notifications.notification import decision_notification
from anew.engine.notifications.notify import notify, notify_of_retraining
from anew.engine.training.launching import launch
from anew.errors import TemporaryError


@dataclass(frozen=True, slots=True)
class Decided:
    """One decision of this pass, and the retraining that it started, if any."""

    record: DecisionRecord
    decision: Decision
    evidence: Evidence
    retraining: Retraining | None
    not_notified: str | None = None  # why people could not be notified


def act(engine: Engine, recorded: Recorded, now: datetime) -> Decided:
    """Do what was decided. The next tick does what fails here."""
    record, judged = recorded.record, recorded.judged
    roll_back_as_decided(engine, record, now)
    launched = engine.ledger.retraining(record.retraining_id) if record.retraining_id else None
    if launched is not None:
        with suppress(TemporaryError):
            launched = launch(engine, launched, now)
    not_notified = None
    if judged.decision.outcome in judged.case.policy.notify_on:
        not_notified = notify(engine, decision_notification(record.model, record.id, judged.decision))
    if launched is not None and not launched.is_open:
        notify_of_retraining(engine, launched)
    return Decided(record, judged.decision, judged.evidence, launched, not_notified)
