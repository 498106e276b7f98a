"""Which version served what, as the ledger knows it, and for each change who moved it, why, and what caused that."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from anew.core.retrainings.lifecycle import Retraining
from anew.core.rollouts.lifecycle import Rollout
from anew.core.rollouts.traffic import TrafficChange
from anew.core.rollouts.traffic_history import Period, name_of, period_at, periods
from anew.engine.base.ledger import DecisionRecord, InboxEntry, Ledger
from anew.errors import NothingKnown

_CHANGES = 10_000  # of one endpoint
_EVENTS = 5  # of a decision that covers a storm
_DECISION = re.compile(r"\bd-[0-9a-f]{12}\b")


@dataclass(frozen=True, slots=True)
class EndpointHistory:
    """The traffic of one endpoint (`kind/name`), oldest first."""

    place: str
    line: tuple[Period, ...]

    @property
    def now(self) -> TrafficChange:
        """The newest change, which still holds."""
        return self.line[-1].change

    def at(self, moment: datetime) -> Period | None:
        """What held then; None before anything is known."""
        return period_at(self.line, moment)


@dataclass(frozen=True, slots=True)
class Chain:
    """What a change of traffic came from. Parts that there are not are None or empty: a person caused it, or nobody
    knows. `events` are some of those the decision covers.
    """

    rollout: Rollout | None = None
    retraining: Retraining | None = None
    decision: DecisionRecord | None = None
    events: tuple[InboxEntry, ...] = ()


def traffic_history(ledger: Ledger, model: str) -> tuple[EndpointHistory, ...]:
    """The endpoints at which this model had any traffic. Raises NothingKnown when there is none."""
    places = {change.endpoint for change in ledger.traffic(limit=_CHANGES) if _is_about(change, model)}
    places |= {rollout.place for rollout in ledger.rollouts(model=model)}
    lines = ((place, traffic_of(ledger, place)) for place in sorted(places))
    found = tuple(
        EndpointHistory(place, line) for place, line in lines if any(_is_about(each.change, model) for each in line)
    )
    if not found:
        raise NothingKnown(f"anew has seen no traffic of a model called {model}")
    return found


def traffic_of(ledger: Ledger, place: str) -> tuple[Period, ...]:
    """The time line of one endpoint."""
    return periods(ledger.traffic(place, limit=_CHANGES))


def chain_of(ledger: Ledger, change: TrafficChange) -> Chain:
    """The chain from a change of traffic back to the events that caused it."""
    rollout = ledger.rollout(change.rollout_id) if change.rollout_id else None
    decision = decision_named(ledger, change.reason, rollout.request_reason if rollout else None)
    retraining = None
    if decision is None and rollout is not None and rollout.retraining_id is not None:
        retraining = ledger.retraining(rollout.retraining_id)
        decision = ledger.decision(retraining.decision_id) if retraining else None
    return Chain(rollout, retraining, decision, events_of(ledger, decision))


def events_of(ledger: Ledger, decision: DecisionRecord | None) -> tuple[InboxEntry, ...]:
    """Some of the events that a decision covers."""
    keys: Iterable[str] = decision.covers[:_EVENTS] if decision else ()
    return tuple(found for key in keys if (found := ledger.entry(key)))


def decision_named(ledger: Ledger, *reasons: str | None) -> DecisionRecord | None:
    """The decision that a reason names: a rollback that a decision asked for says which."""
    named = (found[0] for reason in reasons if reason and (found := _DECISION.search(reason)))
    return next((record for each in named if (record := ledger.decision(each))), None)


def rollouts_by(ledger: Ledger, decision: DecisionRecord) -> tuple[Rollout, ...]:
    """The rollouts that a decision to go back opened, or gave up."""
    if decision.leaves_version is None:
        return ()
    reasons = ((each, each.request_reason or "", each.reason or "") for each in ledger.rollouts(model=decision.model))
    return tuple(each for each, *said in reasons if any(text.startswith(f"{decision.id}:") for text in said))


def _is_about(change: TrafficChange, model: str) -> bool:
    names = (name_of(share).rpartition(":")[0] for share in (*change.shares, *change.mirror))
    return model.casefold() in {name.casefold() for name in names}
