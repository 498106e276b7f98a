"""Advancing every open retraining in a handful of reads, however many wait.

Data Factory and the run history are asked what ended lately; only what that may miss is looked at one by one, the rarer
the longer it waits, and within a share of the quota for reads.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from anew.core.base.token_bucket import TokenBucket
from anew.core.retrainings.lifecycle import Retraining, RetrainingState
from anew.core.retrainings.polling import SOONEST, in_some_order, next_poll
from anew.engine.base.context import Engine
from anew.engine.retrainings.advance import advance_retraining, deadline_of
from anew.errors import AnewError, PermanentError, TemporaryError, UnknownModel

POLLS = TokenBucket(burst=100, per_second=2)  # of the 25 reads a second ARM gives back; one look is one or two reads

_BUCKET = "polls"
_WATERMARK = "reconcile.ended"
_FAILURES_AT_MOST = 3  # in a row: then Azure is away, and waiting for it again and again helps nobody
_POLL_WITHIN = timedelta(minutes=50)  # the ledger takes a look more than an hour away for a clock's mistake
_NOTHING_OUTSIDE = frozenset({RetrainingState.AWAITING_DATA, RetrainingState.AWAITING_APPROVAL})


@dataclass(frozen=True, slots=True)
class RetrainingPass:
    """The retrainings looked at, as they stand now, and what could not be done."""

    retrainings: tuple[Retraining, ...]
    problems: tuple[str, ...]


def poll_open(engine: Engine, now: datetime) -> RetrainingPass:
    """Advance what ended, then look at what is due to be looked at."""
    problems: list[str] = []
    try:
        ended = _advance_ended(engine, now, problems)
    except AnewError as error:
        problems.append(f"what ended lately: {error}")
        ended = []
    return RetrainingPass((*ended, *_poll_due(engine, now, problems)), tuple(problems))


def _advance_ended(engine: Engine, now: datetime, problems: list[str]) -> list[Retraining]:
    """The watermark moves on only when all that was told of was seen to, so that a crash asks again."""
    if not engine.ledger.count_open_retrainings():
        engine.ledger.set_watermark(_WATERMARK, now)
        return []
    since = min(engine.ledger.watermark(_WATERMARK) or now, now) - engine.timing.ended_overlap
    before = len(problems)
    runs = _told_of(engine, since, now, problems)
    advanced: list[Retraining] = []
    failures = 0
    for retraining in in_some_order(engine.ledger.open_retrainings_by_job(runs), now):
        moved = _advance(engine, retraining, now, problems)
        if moved is not None:
            advanced.append(moved)
        failures = failures + 1 if moved is None else 0
        if failures >= _FAILURES_AT_MOST:
            break
    if len(problems) == before:
        engine.ledger.set_watermark(_WATERMARK, now)
    return advanced


def _told_of(engine: Engine, since: datetime, now: datetime, problems: list[str]) -> set[str]:
    """Runs that ended, as far as they are told of. Who cannot tell keeps nobody else from telling."""
    runs: set[str] = set()
    asked = [partial(engine.jobs.ended, since, now)]
    for kind, launcher in engine.launchers.items():
        documents = [p.retrain.launcher for p in engine.policies.all if p.retrain.launcher.kind == kind]
        if documents:
            asked.append(partial(launcher.ended, documents, since, now))
    for ended in asked:
        try:
            runs |= ended()
        except AnewError as error:
            problems.append(f"what ended lately: {error}")
    return runs


def _poll_due(engine: Engine, now: datetime, problems: list[str]) -> list[Retraining]:
    looked: list[Retraining] = []
    polls: dict[str, datetime] = {}
    failures = 0
    for retraining in engine.ledger.due_retrainings(now, engine.timing.polls_per_tick):
        if _waits_for_its_time(engine, retraining, now):
            polls[retraining.id] = _next_poll(engine, retraining, now)
            continue
        if engine.ledger.take_tokens(_BUCKET, 1, POLLS, now) or failures >= _FAILURES_AT_MOST:
            break
        moved = _advance(engine, retraining, now, problems)
        if moved is None:
            failures += 1
            polls[retraining.id] = now + SOONEST  # behind the others, which it must not hold up
            continue
        failures = 0
        looked.append(moved)
        if moved.is_open:
            polls[moved.id] = _next_poll(engine, moved, now)
    engine.ledger.postpone(polls)
    return looked


def _waits_for_its_time(engine: Engine, retraining: Retraining, now: datetime) -> bool:
    """Whether nothing outside can change it before a moment that has not come: no look is spent on it."""
    return retraining.state in _NOTHING_OUTSIDE and now < _deadline(engine, retraining, now)


def _advance(engine: Engine, retraining: Retraining, now: datetime, problems: list[str]) -> Retraining | None:
    try:
        return advance_retraining(engine, retraining, now)
    except (TemporaryError, PermanentError) as error:
        problems.append(f"{retraining.id}: {error}")
        return None


def _next_poll(engine: Engine, retraining: Retraining, now: datetime) -> datetime:
    deadline = _deadline(engine, retraining, now)
    if retraining.state in _NOTHING_OUTSIDE:
        return min(deadline, now + _POLL_WITHIN)
    return next_poll(retraining.id, retraining.state_since, deadline, now)


def _deadline(engine: Engine, retraining: Retraining, now: datetime) -> datetime:
    try:
        return deadline_of(engine, retraining)
    except UnknownModel:
        return now
