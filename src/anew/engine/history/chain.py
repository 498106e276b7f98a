"""The walk: from a record up to the events that caused it, and down to the rollouts it led to."""

import re
from dataclasses import dataclass, replace
from functools import cache, partial

from anew.core.retrainings.lifecycle import Retraining
from anew.core.rollouts.lifecycle import Rollout
from anew.core.rollouts.traffic import TrafficChange
from anew.core.rollouts.traffic_history import names_in
from anew.engine.base.ledger import DecisionRecord, InboxEntry, Ledger
from anew.engine.history.traffic import EndpointHistory, endpoint_histories

_AT_MOST = 10_000  # rollouts of one model
_DECISIONS = 1000  # of one model, in search of those that cover an event
_DECISION_ID = re.compile(r"\bd-[0-9a-f]{12}\b")


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a model, whether or not anew registered it."""

    model: str
    version: str

    def __str__(self) -> str:
        return f"{self.model}:{self.version}"


Start = InboxEntry | DecisionRecord | Retraining | Version | Rollout | TrafficChange


@dataclass(frozen=True, slots=True)
class Chain:
    """Events, the decision they led to, its retraining, the version that was registered, and the rollouts, oldest
    first: of that version, or those that a decision to go back opened or aborted. Missing parts are None or empty.
    """

    events: tuple[InboxEntry, ...] = ()
    decision: DecisionRecord | None = None
    retraining: Retraining | None = None
    version: Version | None = None
    rollouts: tuple[Rollout, ...] = ()


class Walk:
    """Follows chains in the ledger as it is now. Lists of a model are read once, and only when a chain needs them.

    `events_at_most` limits the events of one chain: a decision can cover thousands.
    """

    def __init__(self, ledger: Ledger, events_at_most: int | None = None) -> None:
        self._ledger = ledger
        self._events_at_most = events_at_most
        self._rollouts = cache(partial(ledger.rollouts, None, limit=_AT_MOST))
        self._retrainings = cache(partial(ledger.retrainings, None))
        self.endpoints = cache(self._read_endpoints)

    def find(self, about: str) -> list[Start]:
        """The records that an id names: a decision, retraining, rollout, external run or `model:version`, or the
        records that an event (its id or inbox key) led to. Empty when the ledger knows nothing of that name.
        """
        ledger = self._ledger
        named = ledger.rollout(about) or ledger.decision(about) or ledger.retraining(about)
        if found := named or ledger.retraining_by_job(about):
            return [found]
        if (entry := ledger.entry(about)) is not None:
            return self._led_to(entry)
        version = self._version(about)
        return [version] if version else []

    def chain(self, start: Start) -> Chain:
        """The chain that a record is part of."""
        match start:
            case InboxEntry():
                return Chain(events=(start,))
            case DecisionRecord():
                return self._joined(start, self._retraining(start.retraining_id))
            case Retraining():
                return self._joined(self._ledger.decision(start.decision_id), start)
            case Version():
                made = [each for each in self._retrainings(start.model) if each.new_version == start.version]
                return self.chain(made[-1]) if made else Chain(version=start, rollouts=self._rollouts_of(start))
            case Rollout():
                asked = self.decision_named(start.request_reason)
                cause = asked or self._retraining(start.retraining_id) or Version(start.model, start.version)
                chain = self.chain(cause)
                return chain if start in chain.rollouts else replace(chain, rollouts=(*chain.rollouts, start))
            case TrafficChange():
                rollout = self._ledger.rollout(start.rollout_id) if start.rollout_id else None
                cause = self.decision_named(start.reason) or rollout
                return self.chain(cause) if cause else Chain()

    def decision_named(self, *reasons: str | None) -> DecisionRecord | None:
        """The first decision whose id is in one of the reasons."""
        ids = (found[0] for reason in reasons if reason and (found := _DECISION_ID.search(reason)))
        return next((decision for each in ids if (decision := self._ledger.decision(each))), None)

    def _joined(self, decision: DecisionRecord | None, retraining: Retraining | None) -> Chain:
        version = rollouts = None
        if retraining is not None and retraining.new_version is not None:
            version = Version(retraining.model, retraining.new_version)
            rollouts = self._rollouts_of(version)
        elif decision is not None and decision.leaves_version is not None:
            rollouts = self._rollouts_by(decision)
        keys = decision.covers[: self._events_at_most] if decision else ()
        events = tuple(entry for key in keys if (entry := self._ledger.entry(key)))
        return Chain(events, decision, retraining, version, rollouts or ())

    def _read_endpoints(self, model: str) -> tuple[EndpointHistory, ...]:
        return endpoint_histories(self._ledger, model, self._rollouts(model))

    def _rollouts_of(self, version: Version) -> tuple[Rollout, ...]:
        return tuple(each for each in self._rollouts(version.model) if each.version == version.version)

    def _rollouts_by(self, decision: DecisionRecord) -> tuple[Rollout, ...]:
        def names_it(reason: str | None) -> bool:
            return reason is not None and reason.startswith(f"{decision.id}:")

        known = self._rollouts(decision.model)
        return tuple(each for each in known if names_it(each.request_reason) or names_it(each.reason))

    def _retraining(self, retraining_id: str | None) -> Retraining | None:
        return self._ledger.retraining(retraining_id) if retraining_id else None

    def _led_to(self, entry: InboxEntry) -> list[Start]:
        """The decisions that cover the event, else the run or version it is about, else only the event itself."""
        ledger, subject, event = self._ledger, entry.subject_id or "", entry.event
        settled_by = ledger.decision(subject)
        others = (each for model in entry.decided_for for each in ledger.decisions(model, _DECISIONS))
        covering = [each for each in others if entry.key in each.covers and each != settled_by]
        if settled_by or covering:
            return [*([settled_by] if settled_by else []), *covering]
        run = ledger.rollout(subject) or ledger.retraining(subject) or ledger.retraining_by_job(event.run_id or "")
        version = self._version(f"{event.model}:{event.version}") if event.model and event.version else None
        return [run or version or entry]

    def _version(self, reference: str) -> Version | None:
        model, _, version = reference.rpartition(":")
        if not model:
            return None
        trained = (each.new_version for each in self._retrainings(model))
        released = (each.version for each in self._rollouts(model))
        is_known = version in {*trained, *released} or any(
            reference in names_in(endpoint.line) for endpoint in self.endpoints(model)
        )
        return Version(model, version) if is_known else None
