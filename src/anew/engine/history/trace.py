"""What the ledger can tell about one id, or about a model at some moment: the chain from event to decision to training
to rollout, and the events that led to no decision, each with its reason.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from anew.core.decisions.decide import monitors_of
from anew.core.events.event import Cause
from anew.core.retrainings.lifecycle import Retraining
from anew.core.rollouts.lifecycle import Rollout
from anew.engine.base.ledger import AuditRow, DecisionRecord, InboxEntry, Ledger
from anew.engine.history.traffic import decision_named, rollouts_by
from anew.errors import NothingKnown

_LOOK_BACK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Story:
    """One chain. Parts that do not exist, or not yet, are None or empty."""

    events: tuple[InboxEntry, ...]
    decision: DecisionRecord | None
    retraining: Retraining | None
    rollouts: tuple[Rollout, ...]
    audit: tuple[AuditRow, ...]
    ignored: tuple[InboxEntry, ...] = ()  # heard of the model by then, and no part of the decision


def tell(ledger: Ledger, about: str) -> Story:
    """The story of an event id, inbox key, decision, retraining, rollout, external run or model (its newest decision).

    Raises NothingKnown.
    """
    entry = ledger.entry(about)
    subject = (entry.subject_id if entry else None) or about
    decision = _decision(ledger, subject)
    retraining = _retraining(ledger, subject, decision)
    if decision is None and retraining is not None:
        decision = ledger.decision(retraining.decision_id)
    rollouts = _rollouts(ledger, subject, retraining, decision)
    if entry is None and decision is None and not rollouts:
        raise NothingKnown(f"the ledger knows no event, decision, retraining, rollout or model called {about}")
    own = (entry.key,) if entry else ()
    covered = dict.fromkeys((*(decision.covers if decision else ()), *own))
    events = tuple(found for key in covered if (found := ledger.entry(key)))
    subjects = [item.id for item in (decision, retraining, *rollouts) if item]
    audit = sorted((row for subject in subjects for row in ledger.audit(subject)), key=lambda row: row.seq)
    return Story(events, decision, retraining, rollouts, tuple(audit))


def tell_of_model(ledger: Ledger, model: str, monitors: Collection[str], at: datetime) -> Story:
    """The decision in force for a model at this moment, and what was heard since it, or in the week before the moment
    when there is none, that is no part of a decision. Raises NothingKnown when there is neither.
    """
    newest = ledger.decisions(model=model, limit=1, until=at)
    decision = newest[0] if newest else None
    since = decision.decided_at if decision else at - _LOOK_BACK
    covered = set(decision.covers) if decision else set[str]()
    ignored = tuple(
        entry
        for entry in ledger.recent(list(Cause), since)
        if entry.received_at <= at and entry.key not in covered and _is_about(entry, model, monitors)
    )
    if decision is None and not ignored:
        raise NothingKnown(f"until {at.isoformat(' ', 'seconds')} nothing was decided or heard about {model}")
    story = tell(ledger, decision.id) if decision else Story((), None, None, (), ())
    return replace(story, ignored=ignored)


def _is_about(entry: InboxEntry, model: str, monitors: Collection[str]) -> bool:
    watched = {name.casefold() for name in monitors}
    return entry.event.model == model or bool(watched & {name.casefold() for name in monitors_of(entry.event)})


def _decision(ledger: Ledger, about: str) -> DecisionRecord | None:
    found = ledger.decision(about)
    if found is not None:
        return found
    rollout = ledger.rollout(about)
    if rollout is not None:
        return decision_named(ledger, rollout.request_reason)
    newest = ledger.decisions(model=about, limit=1)
    return newest[0] if newest else None


def _retraining(ledger: Ledger, about: str, decision: DecisionRecord | None) -> Retraining | None:
    if decision is not None:
        return ledger.retraining(decision.retraining_id) if decision.retraining_id else None
    rollout = ledger.rollout(about)
    if rollout is not None:
        return ledger.retraining(rollout.retraining_id) if rollout.retraining_id else None
    return ledger.retraining(about) or ledger.retraining_by_job(about)


def _rollouts(
    ledger: Ledger, about: str, retraining: Retraining | None, decision: DecisionRecord | None
) -> tuple[Rollout, ...]:
    known = ledger.rollouts(limit=10_000)
    wanted = retraining.id if retraining else None
    went_back = {item.id for item in rollouts_by(ledger, decision)} if decision else set[str]()
    return tuple(
        item for item in known if item.id == about or item.id in went_back or (wanted and item.retraining_id == wanted)
    )
