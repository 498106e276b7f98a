"""Advancing every open retraining with a handful of requests, however many wait.

Data Factory and the run history are asked which runs ended lately. That may miss some, so each retraining is also
polled by itself: the longer it waits, the less often, and within a share of the quota for reads.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from anew.core.base.token_bucket import TokenBucket
from anew.core.retrainings.lifecycle import Retraining, RetrainingState
from anew.core.retrainings.polling import SOONEST, in_some_order, next_poll
from anew.engine.base.context import Engine
from anew.engine.retrainings.advance import advance_retraining, deadline_of
from anew.errors import AnewError, UnknownModel

POLLS = TokenBucket(burst=100, per_second=2)  # of the 25 reads a second that ARM allows; one poll is one or two reads

_BUCKET = "polls"
_WATERMARK = "reconcile.ended"
_FAILURES_AT_MOST = 3  # in a row: then Azure is away, and further requests would only wait for it
_POLL_WITHIN = timedelta(minutes=50)  # the ledger takes a poll more than an hour away for a clock's mistake
_NOTHING_OUTSIDE = frozenset({RetrainingState.AWAITING_DATA, RetrainingState.AWAITING_APPROVAL})


@dataclass(frozen=True, slots=True)
class RetrainingPass:
    """The retrainings that were advanced, as they stand now, and what could not be done."""

    retrainings: tuple[Retraining, ...]
    problems: tuple[str, ...]


@dataclass(slots=True)
class _Progress:
    """Advances retrainings one by one, until Azure is away."""

    engine: Engine
    now: datetime
    advanced: list[Retraining] = field(default_factory=list[Retraining])
    problems: list[str] = field(default_factory=list[str])
    failures: int = 0  # in a row

    @property
    def is_azure_away(self) -> bool:
        return self.failures >= _FAILURES_AT_MOST

    def advance(self, retraining: Retraining) -> Retraining | None:
        """The retraining as it stands now; None when it could not be advanced."""
        try:
            moved = advance_retraining(self.engine, retraining, self.now)
        except AnewError as error:
            self.problems.append(f"{retraining.id}: {error}")
            self.failures += 1
            return None
        self.advanced.append(moved)
        self.failures = 0
        return moved


def poll_open(engine: Engine, now: datetime) -> RetrainingPass:
    """Advance the retrainings whose runs ended, then poll those that are due."""
    ended, due = _Progress(engine, now), _Progress(engine, now)
    try:
        _advance_ended(ended)
    except AnewError as error:
        ended.problems.append(f"runs that ended lately: {error}")
    _poll_due(due)
    return RetrainingPass((*ended.advanced, *due.advanced), (*ended.problems, *due.problems))


def _advance_ended(progress: _Progress) -> None:
    """Advance what ended since the watermark, which moves on only when nothing failed: after a crash the same time is
    asked for again.
    """
    engine, now = progress.engine, progress.now
    if engine.ledger.count_open_retrainings():
        since = min(engine.ledger.watermark(_WATERMARK) or now, now) - engine.timing.ended_overlap
        runs = _ended_runs(progress, since)
        for retraining in in_some_order(engine.ledger.open_retrainings_by_job(runs), now):
            progress.advance(retraining)
            if progress.is_azure_away:
                break
    if not progress.problems:
        engine.ledger.set_watermark(_WATERMARK, now)


def _ended_runs(progress: _Progress, since: datetime) -> set[str]:
    """Runs that ended since then. A source that fails does not stop the others."""
    engine, now = progress.engine, progress.now
    sources = [partial(engine.jobs.ended, since, now)]
    for kind, launcher in engine.launchers.items():
        documents = [p.retrain.launcher for p in engine.policies.all if p.retrain.launcher.kind == kind]
        if documents:
            sources.append(partial(launcher.ended, documents, since, now))
    runs: set[str] = set()
    for ended in sources:
        try:
            runs |= ended()
        except AnewError as error:
            progress.problems.append(f"runs that ended lately: {error}")
    return runs


def _poll_due(progress: _Progress) -> None:
    engine, now = progress.engine, progress.now
    polls: dict[str, datetime] = {}
    for retraining in engine.ledger.due_retrainings(now, engine.timing.polls_per_tick):
        if retraining.state in _NOTHING_OUTSIDE and now < _deadline(engine, retraining, now):
            polls[retraining.id] = _next_poll(engine, retraining, now)  # costs no request
            continue
        if engine.ledger.take_tokens(_BUCKET, 1, POLLS, now) or progress.is_azure_away:
            break
        moved = progress.advance(retraining)
        if moved is None:
            polls[retraining.id] = now + SOONEST  # behind the others, which must not wait for it
        elif moved.is_open:
            polls[moved.id] = _next_poll(engine, moved, now)
    engine.ledger.postpone(polls)


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
