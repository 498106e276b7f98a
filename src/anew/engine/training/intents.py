"""Requests that make something outside: noted before they are sent, so that others know it may yet turn up.

A worker may stand still between the note and the request, or have a thousand launches to make before this one. So the
note has the time of the intent, not that of the pass, and the request is not sent any more when half of the time is
over that others wait for what it makes.
"""

from datetime import datetime

from anew.core.retrainings.lifecycle import Retraining
from anew.engine.base.context import Engine
from anew.engine.base.transition import note_retraining


def record_intent(engine: Engine, retraining: Retraining, what: str, now: datetime) -> tuple[Retraining, datetime]:
    """Note that a request is about to be sent; returns before when it must be. Raises StaleWrite."""
    moment = max(now, engine.clock())
    noted = note_retraining(engine, retraining, what, moment, intended_at=moment)
    return noted, moment + engine.timing.visibility_delay / 2


def may_appear_late(engine: Engine, retraining: Retraining, now: datetime) -> bool:
    """Whether something that was asked for, and is not to be seen, may yet appear in Azure."""
    intended = retraining.intended_at
    return intended is not None and now < intended + engine.timing.visibility_delay
