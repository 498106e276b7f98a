"""Advancing retrainings whose runs ended, as the inbox says."""

from dataclasses import dataclass
from datetime import datetime

from anew.core.events.event import Event
from anew.core.retrainings.lifecycle import Retraining
from anew.core.retrainings.lineage_tags import RETRAINING_TAG
from anew.core.retrainings.polling import SOONEST
from anew.engine.base.context import Engine
from anew.engine.base.ledger import InboxEntry
from anew.engine.inbox.draining import drain
from anew.engine.retrainings.adopting import NotOurRun, NotYet, adopt_run
from anew.engine.retrainings.advance import advance_retraining


@dataclass(frozen=True, slots=True)
class FinishedRunsPass:
    """The retrainings of this pass as they stand now, how many runs belong to none, and why some entries wait."""

    retrainings: tuple[Retraining, ...] = ()
    others: int = 0
    deferred: tuple[str, ...] = ()


def handle_finished_runs(engine: Engine, now: datetime) -> FinishedRunsPass:
    """For each run that ended: find its retraining, or adopt the run where a policy says so, and advance it. Runs that
    belong to no retraining are settled.
    """
    ours: dict[str, Retraining] = {}
    others: list[str] = []

    def handle(entry: InboxEntry) -> str | None:
        match _retraining_of(engine, entry.event) or adopt_run(engine, entry, now):
            case Retraining() as found:
                ours[found.id] = _advance(engine, found, entry, now)
            case NotOurRun(reason):
                others.append(entry.key)
                engine.ledger.settle([entry.key], reason, now)
            case NotYet(reason):
                return reason
        return None

    deferred = drain(engine, "promote", handle, now)
    return FinishedRunsPass(tuple(ours.values()), len(others), deferred)


def _retraining_of(engine: Engine, event: Event) -> Retraining | None:
    by_job = engine.ledger.retraining_by_job(event.run_id or "")
    if by_job is not None:
        return by_job
    tagged = (event.tags or {}).get(RETRAINING_TAG)
    return engine.ledger.retraining(tagged) if tagged else None


def _advance(engine: Engine, retraining: Retraining, entry: InboxEntry, now: datetime) -> Retraining:
    moved = advance_retraining(engine, retraining, now)
    if moved.is_open and moved.revision == retraining.revision:
        # Azure may send the event of an end before it shows the end: poll again soon.
        engine.ledger.postpone({moved.id: now + SOONEST})
    engine.ledger.settle([entry.key], f"advanced retraining {retraining.id}", now, retraining.id)
    return moved
