"""The ledger's port: the values that the ledger stores, and a Protocol with numbered obligations.

The suites in tests/contract hold every database to them.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

from anew.core.base.token_bucket import TokenBucket
from anew.core.events.event import Cause, Event
from anew.core.retrainings.lifecycle import Retraining, RetrainingState
from anew.core.rollouts.lifecycle import Rollout, RolloutState
from anew.core.rollouts.traffic import TrafficChange


class Source(StrEnum):
    """How an event reached the inbox."""

    WEBHOOK = "webhook"
    RECONCILE = "reconcile"
    MANUAL = "manual"
    DEAD_LETTER = "dead-letter"  # Event Grid could not deliver it, or we could not parse it at first


@dataclass(frozen=True, slots=True)
class InboxEntry:
    """One event in the inbox. `outcome` is None until the entry is settled, then a sentence for people."""

    seq: int
    key: str
    event: Event
    cause: Cause
    source: Source
    received_at: datetime
    deliveries: int
    leased_until: datetime | None = None  # in the past: the time of the last attempt
    hinted_at: datetime | None = None
    decided_for: tuple[str, ...] = ()  # models that have decided about it, while others have not
    settled_at: datetime | None = None
    outcome: str | None = None
    subject_id: str | None = None  # the decision, retraining or rollout that it led to


@dataclass(frozen=True, slots=True)
class Waiting:
    """All entries without a lease that have the same cause and the same time of their last hint. There may be very
    many, so they are reported together, without reading each.
    """

    cause: Cause
    hinted_at: datetime | None
    oldest: int  # seq
    newest: int
    newest_key: str
    received_at: datetime  # of the last one received


@dataclass(frozen=True, slots=True)
class Receipt:
    """How many of the received events were new, and how many were already known."""

    new: int
    repeated: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A delivered element that is not an event, unchanged. The same text and source always have the same `id`.

    `redriven_at` is when it was parsed successfully after all, and put into the inbox.
    """

    id: str
    reason: str
    raw: str  # JSON text
    source: Source
    received_at: datetime
    deliveries: int = 1
    redriven_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """A decision as stored: the tree and the evidence as JSON values, and the inbox keys that it covers."""

    id: str
    model: str
    outcome: str
    decided_at: datetime
    policy_source: str
    policy_hash: str
    tree: Mapping[str, Any]
    evidence: Mapping[str, Any]
    covers: tuple[str, ...]
    retraining_id: str | None = None
    shadow: bool = False  # recorded only, because the policy was on trial
    leaves_version: str | None = None  # the version it rolls back from


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One row of the append-only audit trail."""

    seq: int
    at: datetime
    subject: str  # "retraining", "rollout", "decision"
    subject_id: str
    what: str
    actor: str
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class IgnoredCount:
    """How often well-formed events of one type were ignored for one reason."""

    type: str
    reason: str
    count: int
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Backlog:
    """The numbers of unsettled entries and of dead letters not redriven, and when the oldest such entry came."""

    waiting: int
    oldest: datetime | None
    dead_letters: int


class Ledger(Protocol):
    """Everything anew knows. Raises LedgerUnavailable when the database cannot be reached at the moment.

    1. When a method returns, its writes survive a crash of any process.
    2. Each method is one transaction: all of it happens, or nothing.
    3. `receive` keeps one row for a key, for ever; a repetition only raises `deliveries`.
    4. `lease` gives an entry to one caller at a time; an expired lease is free again. Entries that were never tried
       come first, then those whose last attempt is longest ago.
    5. `save_*` writes only if the row still has the revision it was read with, else it raises StaleWrite.
    6. `lease_endpoint` gives an endpoint to one holder at a time, until the holder frees it or the lease expires; the
       holder may extend it. `free_endpoint` changes nothing if the caller is not the holder.
    7. Every change of state adds an audit row in the same transaction; audit rows never change.
    8. A model has at most one open retraining: `record_decision`, and a `save_retraining` that opens one again, raise
       StaleWrite for a second.
    9. `record_decision` settles the entries in `settles`, by default all that it covers. The other entries stay open
       for the models that have not decided yet, and the model is added to their `decided_for`. It raises StaleWrite if
       an entry that it covers is settled, or already decided for this model: then the lease expired and another caller
       decided.
    10. A list that its limit cuts off keeps the newest; retrainings and rollouts come oldest first.
    11. `recent` returns the entries received at `since` or later, settled or not, oldest first; `decisions` returns
        those made at `until` or before, newest first.
    12. `due_retrainings` returns the open ones whose next poll is not later than now, the most overdue first. A change
        of state makes a retraining due at once; `postpone` is not a change of state.
    13. `take_tokens` never gives the callers of one bucket, in all processes together, more than its burst and refill
        allow. It returns how long to wait; unless that is zero, it took nothing.
    """

    def receive(
        self,
        events: Sequence[Event],
        source: Source,
        now: datetime,
        *,
        settled: Mapping[str, str] = {},
        ignored: Sequence[tuple[str, str]] = (),
        dead: Sequence[DeadLetter] = (),
    ) -> Receipt:
        """Keep events and dead letters, and count *ignored* types and reasons. *settled* maps keys of events that need
        no work to their outcomes.
        """
        ...

    def dead_letters(self, limit: int = 50, *, all: bool = False) -> list[DeadLetter]:
        """Those not redriven, or all, newest first."""
        ...

    def dead_letter(self, letter_id: str) -> DeadLetter | None: ...
    def mark_redriven(self, letter_ids: Sequence[str], now: datetime) -> None: ...
    def ignored_counts(self) -> list[IgnoredCount]: ...
    def lease(
        self, causes: Collection[Cause], now: datetime, lease: timedelta, limit: int | None = None
    ) -> list[InboxEntry]:
        """Lease the free entries of these causes, at most *limit*."""
        ...

    def release(self, keys: Sequence[str], tried_at: datetime | None = None) -> None:
        """End these leases. With *tried_at*, entries whose last attempt is older come first."""
        ...

    def settle(self, keys: Sequence[str], outcome: str, now: datetime, subject_id: str | None = None) -> None: ...
    def unsettled(self, causes: Collection[Cause]) -> list[InboxEntry]: ...
    def unleased(self, causes: Collection[Cause], now: datetime) -> list[Waiting]:
        """The entries that are neither settled nor leased; the group with the oldest entry comes first."""
        ...

    def recent(self, causes: Collection[Cause], since: datetime) -> list[InboxEntry]: ...
    def mark_hinted(self, hinted: Sequence[Waiting], now: datetime) -> None:
        """Record a new hint for these. Entries that came, or were leased, since they were read may be left out."""
        ...

    def entry(self, key_or_event_id: str) -> InboxEntry | None: ...
    def known_keys(self, keys: Collection[str]) -> set[str]: ...
    def entries(self, limit: int = 50, *, waiting: bool = False) -> list[InboxEntry]: ...
    def backlog(self) -> Backlog: ...

    def record_decision(
        self, record: DecisionRecord, retraining: Retraining | None, actor: str, settles: Collection[str] | None = None
    ) -> None: ...
    def decision(self, decision_id: str) -> DecisionRecord | None: ...
    def decisions(
        self, model: str | None = None, limit: int = 50, until: datetime | None = None
    ) -> list[DecisionRecord]: ...

    def retraining(self, retraining_id: str) -> Retraining | None: ...
    def retraining_by_job(self, run: str) -> Retraining | None: ...
    def open_retrainings_by_job(self, runs: Collection[str]) -> list[Retraining]: ...
    def open_retraining_of(self, model: str) -> Retraining | None: ...
    def count_open_retrainings(self) -> int: ...
    def due_retrainings(self, now: datetime, limit: int = 500) -> list[Retraining]: ...
    def postpone(self, polls: Mapping[str, datetime]) -> None: ...
    def retrainings(
        self, states: Collection[RetrainingState] | None = None, model: str | None = None, limit: int = 1000
    ) -> list[Retraining]: ...
    def save_retraining(
        self, retraining: Retraining, what: str, actor: str, now: datetime, detail: Mapping[str, Any]
    ) -> Retraining: ...

    def add_rollout(self, rollout: Rollout, actor: str) -> bool: ...
    def rollout(self, rollout_id: str) -> Rollout | None: ...
    def rollouts(
        self, states: Collection[RolloutState] | None = None, model: str | None = None, limit: int = 1000
    ) -> list[Rollout]: ...
    def lease_endpoint(self, endpoint: str, holder: str, now: datetime, lease: timedelta) -> bool: ...
    def free_endpoint(self, endpoint: str, holder: str) -> None: ...
    def save_rollout(
        self,
        rollout: Rollout,
        what: str,
        actor: str,
        now: datetime,
        detail: Mapping[str, Any],
        traffic: TrafficChange | None = None,
    ) -> Rollout:
        """Save it together with the change of traffic."""
        ...

    def note_traffic(self, change: TrafficChange) -> bool:
        """Record an external change of traffic; False if the endpoint's newest change has the same traffic."""
        ...

    def traffic(
        self, endpoint: str | None = None, until: datetime | None = None, limit: int = 200
    ) -> list[TrafficChange]:
        """Changes at `until` or before, oldest first; a list that its limit cuts off keeps the newest."""
        ...

    def audit(self, subject_id: str | None = None, limit: int = 200) -> list[AuditRow]: ...
    def watermark(self, name: str) -> datetime | None: ...
    def set_watermark(self, name: str, at: datetime) -> None: ...

    def take_tokens(self, bucket: str, count: float, limit: TokenBucket, now: datetime) -> timedelta: ...
    def pause_bucket(self, bucket: str, until: datetime) -> None: ...
