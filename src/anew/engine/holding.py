"""One worker at a time at an endpoint."""

import uuid
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime

from anew.engine.context import Engine


@contextmanager
def holding(engine: Engine, place: str, now: datetime) -> Generator[bool]:
    """Hold an endpoint for the block; False when somebody else holds it. The lease of a holder that died runs out."""
    holder = uuid.uuid4().hex
    if not engine.ledger.lease_endpoint(place, holder, now, engine.timing.rollout_lease):
        yield False
        return
    try:
        yield True
    finally:
        engine.ledger.free_endpoint(place, holder)
