"""One worker at a time at an endpoint."""

import uuid
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from anew.engine.base.context import Engine

_WRITING = 0.8  # of the lease; the rest is for a write that is on its way when this is over


@contextmanager
def holding(engine: Engine, place: str, now: datetime) -> Generator[Engine | None]:
    """Hold an endpoint for the block; None when somebody else holds it. The lease of a holder that died runs out.

    The engine given is the one to write to the endpoint with: a holder that stands still, and goes on when another one
    holds the endpoint, writes nothing any more.
    """
    holder, moment, lease = uuid.uuid4().hex, max(now, engine.clock()), engine.timing.rollout_lease
    if not engine.ledger.lease_endpoint(place, holder, moment, lease):
        yield None
        return
    until = moment + lease * _WRITING
    try:
        yield replace(engine, endpoints={kind: each.until(until) for kind, each in engine.endpoints.items()})
    finally:
        engine.ledger.free_endpoint(place, holder)
