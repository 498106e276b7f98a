"""A retraining that waits for a person, in a ledger."""

from dataclasses import replace
from datetime import datetime, timedelta

from anew.core.gate import GateOutcome, GateResult
from anew.core.retrainings.lifecycle import Retraining, RetrainingState
from anew.engine.base.ledger import Ledger
from tests.contract.rows import record, retraining
from tests.event_data import NOW

WAIT = timedelta(days=3)
SENTENCE = "accuracy 0.91 against 0.90 on 5000 rows"


def awaiting(
    ledger: Ledger, name: str = "1", *, model: str = "price", at: datetime = NOW, sentence: str = SENTENCE
) -> Retraining:
    """Keep one whose gate passed at this time."""
    waiting = replace(
        retraining(name, model=model),
        state=RetrainingState.AWAITING_APPROVAL,
        state_since=at,
        approval_deadline=at + WAIT,
    )
    ledger.record_decision(record(name, model=model), waiting, "test")
    gate = GateResult(GateOutcome.PROMOTE, sentence, 5000, "f00d")
    return ledger.save_retraining(replace(waiting, gate=gate), "asked", "test", at, {})
