"""Taking retrainings on when their runs end."""

from dataclasses import dataclass
from datetime import datetime

from anew.core.events import Event
from anew.core.lifecycle import (
    Retraining,
)
from anew.core.looking import SOONEST
from anew.core.tags import RETRAINING_TAG
from anew.engine.advance import advance_retraining
from anew.engine.context import Engine
from anew.engine.intake import ACTS_ON
from anew.errors import AnewError


@dataclass(frozen=True, slots=True)
class PromoteReport:
    """Retrainings looked at in this pass, as they stand now, and what could not be done yet."""

    retrainings: tuple[Retraining, ...] = ()
    others: int = 0
    deferred: tuple[str, ...] = ()


def promote(engine: Engine, now: datetime) -> PromoteReport:
    """Advance the retrainings whose runs ended. Runs of others are settled as not ours."""
    entries = engine.ledger.claim(ACTS_ON["promote"], now, engine.timing.claim_lease)
    ours: dict[str, Retraining] = {}
    deferred: list[str] = []
    others = 0
    for entry in entries:
        retraining = _ours(engine, entry.event)
        if retraining is None:
            others += 1
            engine.ledger.settle([entry.key], "not a run of ours", now)
            continue
        try:
            moved = ours[retraining.id] = advance_retraining(engine, retraining, now)
            if moved.is_open and moved.revision == retraining.revision:
                # Azure may tell of an end before it shows it.
                engine.ledger.postpone({moved.id: now + SOONEST})
            engine.ledger.settle([entry.key], f"advanced retraining {retraining.id}", now, retraining.id)
        except AnewError as error:  # one entry that cannot be answered must not hold up the others
            engine.ledger.release([entry.key])
            deferred.append(f"{retraining.id}: {error}")
    return PromoteReport(tuple(ours.values()), others, tuple(deferred))


def _ours(engine: Engine, event: Event) -> Retraining | None:
    by_job = engine.ledger.retraining_by_job(event.run_id or "")
    if by_job is not None:
        return by_job
    claimed = (event.tags or {}).get(RETRAINING_TAG)
    return engine.ledger.retraining(claimed) if claimed else None
