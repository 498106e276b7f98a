"""The ledger as the engine needs it: what is kept, as values, and what may be asked of it, with numbered obligations.

Every database is held to these by the contract suite in tests/contract.
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
    """How a happening was learnt of."""

    WEBHOOK = "webhook"
    RECONCILE = "reconcile"
    MANUAL = "manual"
    DEAD_LETTER = "dead-letter"  # Event Grid could not deliver it, or we could not read it at first


@dataclass(frozen=True, slots=True)
class InboxEntry:
    """One happening in the inbox. `outcome` is None until it is settled, then a sentence for a person."""

    seq: int
    key: str
    event: Event
    cause: Cause
    source: Source
    received_at: datetime
    deliveries: int
    leased_until: datetime | None = None  # in the past: when it was last tried
    hinted_at: datetime | None = None
    decided_for: tuple[str, ...] = ()  # models whose decisions cover it, while others have yet to decide
    settled_at: datetime | None = None
    outcome: str | None = None
    subject_id: str | None = None  # the decision, retraining or rollout it led to


@dataclass(frozen=True, slots=True)
class Waiting:
    """All entries of one cause that nobody claimed, and that were hinted at one time, or never: there may be a great
    many, which nobody has to read to know that there are some.
    """

    cause: Cause
    hinted_at: datetime | None
    oldest: int  # seq
    newest: int
    newest_key: str
    received_at: datetime  # the last of them


@dataclass(frozen=True, slots=True)
class Receipt:
    """What receiving came to: how many were new, and how many were known already."""

    new: int
    repeated: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What was delivered and is no event, as it came. `id` is the same for the same text and source.

    `redriven_at` is when it was read again with success, and put into the inbox.
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
    """A decision as kept: the tree and evidence as JSON values, and the inbox keys it covers."""

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
    shadow: bool = False  # only recorded: the policy was on trial
    leaves_version: str | None = None  # the version it goes back from


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One line of the append-only trail."""

    seq: int
    at: datetime
    subject: str  # "retraining", "rollout", "decision"
    subject_id: str
    what: str
    actor: str
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class IgnoredCount:
    """How often something well formed was knowingly ignored."""

    type: str
    reason: str
    count: int
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits: entries nobody settled yet, since when the oldest of them, and dead letters not redriven."""

    waiting: int
    oldest: datetime | None
    dead_letters: int


class Ledger(Protocol):
    """What we know. Raises LedgerUnavailable when the database cannot be reached just now.

    1. When a method returns, what it wrote survives a crash of any process.
    2. Each method is one transaction: all of it happened, or none.
    3. `receive` keeps one row for a key, ever; a repetition only raises `deliveries`.
    4. `claim` gives an entry to one claimant at a time; a lease that ran out is free again. It begins with the oldest
       of those that were never tried, then come those tried longest ago.
    5. `save_*` writes only if the row still has the revision it was read with, else raises StaleWrite.
    6. `lease_endpoint` gives an endpoint to one holder at a time until they free it or the lease runs out; the holder
       may lengthen it. `free_endpoint` by anybody else changes nothing.
    7. Every state change leaves an audit row in the same transaction; audit rows never change.
    8. There is at most one open retraining for a model: `record_decision`, and a `save_retraining` that opens one
       again, raise StaleWrite for a second.
    9. `record_decision` settles the entries in `settles`, by default all it covers; the others stay open for the
       models that have yet to decide about them, and have the model in `decided_for`. When one that it covers is
       settled already, or decided for this model, it raises StaleWrite: the claim ran out, and another claimant has
       decided.
    10. A list cut off by its limit keeps the newest; retrainings and rollouts come oldest first.
    11. `recent` gives the entries received at `since` or later, settled or not, oldest first; `decisions` those made
        at `until` or before, newest first.
    12. `due_retrainings` gives the open ones whose next look is not later than now, those most overdue first; a change
        of state makes one due at once, `postpone` does not count as a change.
    13. `take_tokens` never lets the takers of one bucket, in whatever process, have more than its burst and refill
        allow; what it refuses takes nothing, and is answered with how long to wait.
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
        """Keep events; those whose key is in *settled* with this outcome. *ignored* are counted by type and reason."""
        ...

    def dead_letters(self, limit: int = 50, *, all: bool = False) -> list[DeadLetter]:
        """Those not redriven, or all of them, newest first."""
        ...

    def dead_letter(self, letter_id: str) -> DeadLetter | None: ...
    def mark_redriven(self, letter_ids: Sequence[str], now: datetime) -> None: ...
    def ignored_counts(self) -> list[IgnoredCount]: ...
    def lease(
        self, causes: Collection[Cause], now: datetime, lease: timedelta, limit: int | None = None
    ) -> list[InboxEntry]:
        """What is free, up to *limit* of it."""
        ...

    def release(self, keys: Sequence[str], tried_at: datetime | None = None) -> None:
        """Free them again; with *tried_at*, behind what was not tried since."""
        ...

    def settle(self, keys: Sequence[str], outcome: str, now: datetime, subject_id: str | None = None) -> None: ...
    def unsettled(self, causes: Collection[Cause]) -> list[InboxEntry]: ...
    def unleased(self, causes: Collection[Cause], now: datetime) -> list[Waiting]:
        """What is neither settled nor claimed, those with the oldest entry first."""
        ...

    def recent(self, causes: Collection[Cause], since: datetime) -> list[InboxEntry]: ...
    def mark_hinted(self, hinted: Sequence[Waiting], now: datetime) -> None:
        """Note that these were hinted at again. What came, or was claimed, since they were read may be left out."""
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
        """Save it, and the change of traffic that came with it."""
        ...

    def note_traffic(self, change: TrafficChange) -> bool:
        """Keep a change of traffic that was not ours; False when the newest of the endpoint shows the same."""
        ...

    def traffic(
        self, endpoint: str | None = None, until: datetime | None = None, limit: int = 200
    ) -> list[TrafficChange]:
        """Changes at `until` or before, oldest first; a list that is cut off keeps the newest."""
        ...

    def audit(self, subject_id: str | None = None, limit: int = 200) -> list[AuditRow]: ...
    def watermark(self, name: str) -> datetime | None: ...
    def set_watermark(self, name: str, at: datetime) -> None: ...

    def take_tokens(self, bucket: str, count: float, limit: TokenBucket, now: datetime) -> timedelta: ...
    def pause_bucket(self, bucket: str, until: datetime) -> None: ...
