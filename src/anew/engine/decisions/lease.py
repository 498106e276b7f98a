"""Lease the inbox entries that may mean drift, and sort them by the models that have yet to decide about them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from anew.core.decisions.decide import monitors_of
from anew.core.events.event import Cause, Event
from anew.core.events.handling import CAUSES_OF, Flow
from anew.core.policies.policy import Policy
from anew.engine.base.context import Engine
from anew.engine.base.ledger import InboxEntry

_AT_ONCE = 5000  # entries; looking them all up in Azure, as forged ones need, takes minutes


@dataclass(frozen=True, slots=True)
class Pending:
    """A policy and the leased entries that it has yet to decide about, oldest first."""

    policy: Policy
    entries: tuple[InboxEntry, ...]


@dataclass(frozen=True, slots=True)
class Leased:
    """The pending work by policy; for each entry the models that have yet to decide about it; and the keys of entries
    that no policy watches.
    """

    pending: tuple[Pending, ...]
    models: Mapping[str, tuple[str, ...]]
    unwatched: tuple[str, ...]


def lease_pending(engine: Engine, now: datetime) -> Leased:
    """Lease up to 5,000 entries, those never tried first, and settle the ones that no policy watches.

    An entry that several policies watch stays open until all of them have decided; an earlier pass may have decided for
    some of them.
    """
    entries = engine.ledger.lease(CAUSES_OF[Flow.RETRAIN], now, engine.timing.inbox_lease, _AT_ONCE)
    models = {
        entry.key: tuple(model for model in _watchers(engine, entry.event) if model not in entry.decided_for)
        for entry in entries
    }
    unwatched = tuple(entry for entry in entries if not models[entry.key])
    for entry in unwatched:
        engine.ledger.settle([entry.key], _why_unwatched(entry), now)
    by_model: dict[str, list[InboxEntry]] = {}
    for entry in entries:
        for model in models[entry.key]:
            by_model.setdefault(model, []).append(entry)
    pending = (
        Pending(engine.policies.for_model(model), tuple(sorted(some, key=lambda entry: (entry.event.time, entry.seq))))
        for model, some in by_model.items()
    )
    return Leased(tuple(pending), models, tuple(entry.key for entry in unwatched))


def _watchers(engine: Engine, event: Event) -> list[str]:
    if event.cause is Cause.MANUAL:
        return [policy.model for policy in engine.policies.all if policy.model == event.model]
    return [policy.model for policy in engine.policies.for_monitor(monitors_of(event))]


def _why_unwatched(entry: InboxEntry) -> str:
    if entry.decided_for:
        return f"decided for {', '.join(entry.decided_for)}; no other policy watches it any more"
    names = ", ".join(monitors_of(entry.event)) or entry.event.model or "nothing named"
    return f"not decided: no policy watches {names}"
