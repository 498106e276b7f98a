"""The lease of an endpoint: one worker at a time changes it."""

import uuid
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from anew.engine.base.context import Engine

_WRITING = 0.8  # of the lease; the rest is for a write that is still under way when this part ends


@contextmanager
def endpoint_lease(engine: Engine, place: str, now: datetime) -> Generator[Engine | None]:
    """Lease an endpoint (`kind/name`) for the block; gives None when another worker has the lease.

    Write to the endpoint with the engine that this gives: once most of the lease is over, its writes raise
    AzureUnavailable, so a worker that was suspended cannot overwrite its successor. The lease of a worker that died
    expires.
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
