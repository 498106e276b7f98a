"""Why something did, or did not, happen: the chain of an id, or the chain of a model at a moment with the events that
had no part in its decision. `anew explain` shows it.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from anew.core.decisions.decide import monitors_of
from anew.core.events.event import Cause
from anew.engine.base.ledger import AuditRow, InboxEntry, Ledger
from anew.engine.history.chain import Chain, Walk
from anew.errors import NothingKnown

_LOOK_BACK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Trace:
    """One chain with its audit trail, in order. `ignored` are events about the model, received since the decision and
    not covered by it, each with its outcome.
    """

    chain: Chain
    audit: tuple[AuditRow, ...]
    ignored: tuple[InboxEntry, ...] = ()


def trace(ledger: Ledger, about: str) -> Trace:
    """The trace of an event id, inbox key, decision, retraining, rollout, external run, `model:version`, or model (its
    newest decision). Raises NothingKnown.
    """
    walk = Walk(ledger)
    found = walk.find(about) or ledger.decisions(about, limit=1)
    chain = walk.chain(found[0]) if found else Chain()
    if not (chain.events or chain.decision or chain.retraining or chain.rollouts):
        raise NothingKnown(f"the ledger knows no event, decision, retraining or rollout of {about}")
    entry = ledger.entry(about)
    if entry is not None and entry not in chain.events:
        chain = replace(chain, events=(*chain.events, entry))
    return Trace(chain, _audit(ledger, chain))


def trace_of_model(ledger: Ledger, model: str, monitors: Collection[str], at: datetime) -> Trace:
    """The decision in force for a model at this moment, and the events since it that had no part in a decision; those
    of the week before the moment when there is no decision. Raises NothingKnown when there is neither.
    """
    decision = next(iter(ledger.decisions(model, limit=1, until=at)), None)
    since = decision.decided_at if decision else at - _LOOK_BACK
    covered = set(decision.covers) if decision else set[str]()
    watched = {name.casefold() for name in monitors}
    ignored = tuple(
        entry
        for entry in ledger.recent(list(Cause), since)
        if entry.received_at <= at and entry.key not in covered and _is_about(entry, model, watched)
    )
    if decision is None and not ignored:
        raise NothingKnown(f"until {at.isoformat(' ', 'seconds')} nothing was decided or heard about {model}")
    chain = Walk(ledger).chain(decision) if decision else Chain()
    return Trace(chain, _audit(ledger, chain), ignored)


def _is_about(entry: InboxEntry, model: str, watched: Collection[str]) -> bool:
    return entry.event.model == model or any(name.casefold() in watched for name in monitors_of(entry.event))


def _audit(ledger: Ledger, chain: Chain) -> tuple[AuditRow, ...]:
    subjects = [item.id for item in (chain.decision, chain.retraining, *chain.rollouts) if item]
    return tuple(sorted((row for each in subjects for row in ledger.audit(each)), key=lambda row: row.seq))
