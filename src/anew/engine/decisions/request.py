"""A person's request for a decision about one model: it enters by the inbox, as events do."""

from datetime import datetime

from anew.core.events.event import Cause, Event
from anew.engine.base.context import Engine
from anew.engine.base.ledger import Receipt, Source

MANUAL_TYPE = "anew.RetrainingRequested"


def request_retraining(
    engine: Engine, model: str, request_id: str, by: str, reason: str, force: bool, now: datetime
) -> Receipt:
    """Put a person's request into the inbox, once for a request_id. Raises UnknownModel."""
    engine.policies.for_model(model)
    event = Event(
        type=MANUAL_TYPE,
        id=request_id,
        workspace=engine.workspace,
        subject=f"models/{model}",
        time=now,
        model=model,
        tags={"by": by, "reason": reason, "force": str(force).lower()},
        cause=Cause.MANUAL,
    )
    return engine.ledger.receive([event], Source.MANUAL, now)
