"""The ledger as its port describes it, in dicts and lists: no SQL, no transactions, one thread.

Numbers of rows (`seq`) are left at 0, and so are the details of audit rows: both are the database's business.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from anew.core.base.token_bucket import Level, TokenBucket, take
from anew.core.events.event import Cause, Event
from anew.core.retrainings.lifecycle import Retraining, RetrainingState
from anew.core.rollouts.lifecycle import Rollout, RolloutState
from anew.core.rollouts.traffic import TrafficChange
from anew.engine.base.ledger import (
    AuditRow,
    Backlog,
    DeadLetter,
    DecisionRecord,
    IgnoredCount,
    InboxEntry,
    Receipt,
    Source,
    Waiting,
)
from anew.errors import StaleWrite

Moved = TypeVar("Moved", Retraining, Rollout)


class LedgerModel:
    """Implements the Ledger port. Its dicts keep the order in which rows came."""

    def __init__(self) -> None:
        self._inbox: dict[str, InboxEntry] = {}
        self._ignored: dict[tuple[str, str], IgnoredCount] = {}
        self._letters: dict[str, DeadLetter] = {}
        self._decisions: dict[str, DecisionRecord] = {}
        self._retrainings: dict[str, Retraining] = {}
        self._polls: dict[str, datetime] = {}
        self._rollouts: dict[str, Rollout] = {}
        self._leases: dict[str, tuple[str, datetime]] = {}
        self._traffic: list[TrafficChange] = []
        self._trail: list[AuditRow] = []
        self._watermarks: dict[str, datetime] = {}
        self._buckets: dict[str, Level] = {}

    # --- inbox --------------------------------------------------------------------------------------------

    def receive(
        self,
        events: Sequence[Event],
        source: Source,
        now: datetime,
        *,
        settled: Mapping[str, str],
        ignored: Sequence[tuple[str, str]],
        dead: Sequence[DeadLetter],
    ) -> Receipt:
        known = len(self._inbox)
        for event in events:
            new = InboxEntry(0, event.key, event, event.cause or Cause.DRIFT, source, now, deliveries=0)
            entry = self._inbox.setdefault(event.key, new)
            self._inbox[event.key] = replace(entry, deliveries=entry.deliveries + 1)
        for key, outcome in settled.items():
            self.settle([key], outcome, now)
        for type_, reason in ignored:
            count = self._ignored[type_, reason].count if (type_, reason) in self._ignored else 0
            self._ignored[type_, reason] = IgnoredCount(type_, reason, count + 1, now)
        for letter in dead:
            first = self._letters.get(letter.id, replace(letter, deliveries=0))
            self._letters[letter.id] = replace(
                first, reason=letter.reason, deliveries=first.deliveries + 1, redriven_at=None
            )
        new = len(self._inbox) - known
        return Receipt(new, len(events) - new)

    def lease(self, causes: Collection[Cause], now: datetime, lease: timedelta, limit: int | None) -> list[InboxEntry]:
        free = [entry for entry in self.unsettled(causes) if entry.leased_until is None or entry.leased_until <= now]
        free.sort(key=lambda entry: entry.leased_until or datetime.min.replace(tzinfo=UTC))
        taken = [entry.key for entry in free[:limit]]
        self._change(taken, leased_until=now + lease)
        return [self._inbox[key] for key in taken]

    def release(self, keys: Sequence[str], tried_at: datetime | None = None) -> None:
        self._change(keys, leased_until=tried_at)

    def settle(self, keys: Collection[str], outcome: str, now: datetime, subject_id: str | None = None) -> None:
        waiting = [key for key in keys if key in self._inbox and self._inbox[key].settled_at is None]
        self._change(waiting, settled_at=now, outcome=outcome, subject_id=subject_id, leased_until=None)

    def mark_hinted(self, hinted: Sequence[Waiting], now: datetime) -> None:
        alike = {(each.cause, each.hinted_at) for each in hinted}
        free = (entry for entry in self.unsettled(Cause) if entry.leased_until is None or entry.leased_until <= now)
        self._change([entry.key for entry in free if (entry.cause, entry.hinted_at) in alike], hinted_at=now)

    def _change(self, keys: Collection[str], **changes: Any) -> None:
        for key in keys:
            if key in self._inbox:
                self._inbox[key] = replace(self._inbox[key], **changes)

    def unsettled(self, causes: Collection[Cause]) -> list[InboxEntry]:
        return [entry for entry in self._inbox.values() if entry.settled_at is None and entry.cause in causes]

    def unleased(self, causes: Collection[Cause], now: datetime) -> list[Waiting]:
        alike: dict[tuple[Cause, datetime | None], Waiting] = {}
        for entry in self.unsettled(causes):
            if entry.leased_until is None or entry.leased_until <= now:
                known = alike.get((entry.cause, entry.hinted_at))
                received = max(entry.received_at, known.received_at) if known else entry.received_at
                alike[entry.cause, entry.hinted_at] = Waiting(entry.cause, entry.hinted_at, 0, 0, entry.key, received)
        return list(alike.values())

    def recent(self, causes: Collection[Cause], since: datetime) -> list[InboxEntry]:
        return [entry for entry in self._inbox.values() if entry.received_at >= since and entry.cause in causes]

    def entry(self, key_or_event_id: str) -> InboxEntry | None:
        found = (entry for entry in self._inbox.values() if key_or_event_id in {entry.key, entry.event.id})
        return next(found, None)

    def known_keys(self, keys: Collection[str]) -> set[str]:
        return set(keys) & set(self._inbox)

    def entries(self, limit: int, *, waiting: bool = False) -> list[InboxEntry]:
        wanted = [entry for entry in self._inbox.values() if not (waiting and entry.settled_at)]
        return wanted[::-1][:limit]

    def backlog(self) -> Backlog:
        waiting = [entry.received_at for entry in self._inbox.values() if entry.settled_at is None]
        return Backlog(len(waiting), min(waiting, default=None), len(self.dead_letters(len(self._letters))))

    def ignored_counts(self) -> list[IgnoredCount]:
        return list(self._ignored.values())

    def dead_letters(self, limit: int, *, all: bool = False) -> list[DeadLetter]:
        wanted = [letter for letter in self._letters.values() if all or letter.redriven_at is None]
        return sorted(wanted, key=lambda letter: letter.received_at, reverse=True)[:limit]

    def dead_letter(self, letter_id: str) -> DeadLetter | None:
        return self._letters.get(letter_id)

    def mark_redriven(self, letter_ids: Sequence[str], now: datetime) -> None:
        for letter_id in letter_ids:
            if letter_id in self._letters:
                self._letters[letter_id] = replace(self._letters[letter_id], redriven_at=now)

    # --- decisions and retrainings ------------------------------------------------------------------------

    def record_decision(
        self, record: DecisionRecord, retraining: Retraining | None, actor: str, settles: Collection[str] | None
    ) -> None:
        covers = [self._inbox[key] for key in dict.fromkeys(record.covers) if key in self._inbox]
        answered = any(entry.settled_at or record.model in entry.decided_for for entry in covers)
        if answered or record.id in self._decisions or (retraining and self.open_retraining_of(retraining.model)):
            raise StaleWrite(record.id)
        self._decisions[record.id] = record
        settled = record.covers if settles is None else settles
        for entry in covers:
            if entry.key not in settled:
                self._change([entry.key], decided_for=(*entry.decided_for, record.model))
        self._note(record.decided_at, "decision", record.id, record.outcome, actor)
        if retraining:
            self._retrainings[retraining.id] = retraining
            self._note(record.decided_at, "retraining", retraining.id, retraining.state, actor)
        self.settle(settled, f"decision {record.id}: {record.outcome}", record.decided_at, record.id)

    def decision(self, decision_id: str) -> DecisionRecord | None:
        return self._decisions.get(decision_id)

    def decisions(self, model: str | None, limit: int, until: datetime | None) -> list[DecisionRecord]:
        wanted = [
            record
            for record in self._decisions.values()
            if model in {None, record.model} and (until is None or record.decided_at <= until)
        ]
        return sorted(wanted, key=lambda record: record.decided_at, reverse=True)[:limit]

    def retraining(self, retraining_id: str) -> Retraining | None:
        return self._retrainings.get(retraining_id)

    def retraining_by_job(self, run: str) -> Retraining | None:
        return next((item for item in self._retrainings.values() if run in _runs(item)), None)

    def open_retrainings_by_job(self, runs: Collection[str]) -> list[Retraining]:
        return [item for item in self._retrainings.values() if item.is_open and _runs(item) & set(runs)]

    def open_retraining_of(self, model: str) -> Retraining | None:
        return next((item for item in self._retrainings.values() if item.is_open and item.model == model), None)

    def count_open_retrainings(self) -> int:
        return sum(item.is_open for item in self._retrainings.values())

    def due_retrainings(self, now: datetime, limit: int) -> list[Retraining]:
        polls = {item.id: self._polls.get(item.id, datetime.min.replace(tzinfo=now.tzinfo)) for item in self._opened()}
        due = sorted((at, name) for name, at in polls.items() if at <= now)
        return [self._retrainings[name] for _, name in due[:limit]]

    def _opened(self) -> list[Retraining]:
        return [item for item in self._retrainings.values() if item.is_open]

    def postpone(self, polls: Mapping[str, datetime]) -> None:
        self._polls |= polls

    def retrainings(
        self, states: Collection[RetrainingState] | None, model: str | None, limit: int
    ) -> list[Retraining]:
        return _listed(self._retrainings.values(), states, model, limit)

    def save_retraining(
        self, retraining: Retraining, what: str, actor: str, now: datetime, detail: Mapping[str, Any]
    ) -> Retraining:
        under_way = self.open_retraining_of(retraining.model)
        if retraining.is_open and under_way is not None and under_way.id != retraining.id:
            raise StaleWrite(retraining.id)
        self._retrainings[retraining.id] = _next_revision(retraining, self._retrainings)
        self._polls.pop(retraining.id, None)
        self._note(now, "retraining", retraining.id, what, actor)
        return self._retrainings[retraining.id]

    # --- rollouts -----------------------------------------------------------------------------------------

    def add_rollout(self, rollout: Rollout, actor: str) -> bool:
        if rollout.id in self._rollouts:
            return False
        self._rollouts[rollout.id] = rollout
        self._note(rollout.created_at, "rollout", rollout.id, rollout.state, actor)
        return True

    def rollout(self, rollout_id: str) -> Rollout | None:
        return self._rollouts.get(rollout_id)

    def rollouts(self, states: Collection[RolloutState] | None, model: str | None, limit: int) -> list[Rollout]:
        return _listed(self._rollouts.values(), states, model, limit)

    def lease_endpoint(self, endpoint: str, holder: str, now: datetime, lease: timedelta) -> bool:
        held_by, until = self._leases.get(endpoint, (holder, now))
        given = held_by == holder or until <= now
        if given:
            self._leases[endpoint] = (holder, now + lease)
        return given

    def free_endpoint(self, endpoint: str, holder: str) -> None:
        if self._leases.get(endpoint, ("", None))[0] == holder:
            self._leases.pop(endpoint)

    def save_rollout(
        self,
        rollout: Rollout,
        what: str,
        actor: str,
        now: datetime,
        detail: Mapping[str, Any],
        traffic: TrafficChange | None = None,
    ) -> Rollout:
        self._rollouts[rollout.id] = _next_revision(rollout, self._rollouts)
        self._note(now, "rollout", rollout.id, what, actor)
        if traffic is not None:
            self._traffic.append(traffic)
        return self._rollouts[rollout.id]

    def note_traffic(self, change: TrafficChange) -> bool:
        known = self.traffic(change.endpoint, None, 1)
        if known and (known[0].shares, known[0].mirror) == (change.shares, change.mirror):
            return False
        self._traffic.append(change)
        return True

    def traffic(self, endpoint: str | None, until: datetime | None, limit: int) -> list[TrafficChange]:
        found = [
            each for each in self._traffic if endpoint in {None, each.endpoint} and (until is None or each.at <= until)
        ]
        return found[-limit:]

    # --- the trail ----------------------------------------------------------------------------------------

    def _note(self, at: datetime, subject: str, subject_id: str, what: str, actor: str) -> None:
        self._trail.append(AuditRow(0, at, subject, subject_id, what, actor, {}))

    def audit(self, subject_id: str | None, limit: int) -> list[AuditRow]:
        return [row for row in self._trail if subject_id in {None, row.subject_id}][-limit:]

    def watermark(self, name: str) -> datetime | None:
        return self._watermarks.get(name)

    def set_watermark(self, name: str, at: datetime) -> None:
        self._watermarks[name] = at

    # --- token buckets ------------------------------------------------------------------------------------

    def take_tokens(self, bucket: str, count: float, limit: TokenBucket, now: datetime) -> timedelta:
        self._buckets[bucket], wait = take(limit, self._buckets.get(bucket), count, now)
        return wait

    def pause_bucket(self, bucket: str, until: datetime) -> None:
        self._buckets[bucket] = Level(0.0, until, until)


def _runs(item: Retraining) -> set[str | None]:
    return {item.job_name, item.evaluation_job, item.external_run_id}


def _listed(items: Collection[Moved], states: Collection[str] | None, model: str | None, limit: int) -> list[Moved]:
    wanted = [item for item in items if (states is None or item.state in states) and model in {None, item.model}]
    return sorted(wanted, key=lambda item: (item.created_at, item.id))[-limit:]


def _next_revision(moved: Moved, known: Mapping[str, Moved]) -> Moved:
    if known[moved.id].revision != moved.revision:
        raise StaleWrite(moved.id)
    return replace(moved, revision=moved.revision + 1)
