"""What the engine asks of the outside, as Protocols whose obligations are numbered.

Every implementation is held to these by the contract suite in tests/contract.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

from anew.core.decision import History, Signal
from anew.core.events import Cause, Event
from anew.core.lifecycle import Retraining, RetrainingState, Rollout, RolloutState
from anew.core.policy import Deploy, Launcher, Policy
from anew.core.policy_evidence import EvidenceSource as SourceDocument

# --- the ledger -------------------------------------------------------------------------------------------


class Source(StrEnum):
    """How a happening was learnt of."""

    WEBHOOK = "webhook"
    RECONCILE = "reconcile"
    MANUAL = "manual"


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
    claimed_until: datetime | None = None
    hinted_at: datetime | None = None
    settled_at: datetime | None = None
    outcome: str | None = None
    subject_id: str | None = None  # the decision, retraining or rollout it led to


@dataclass(frozen=True, slots=True)
class Receipt:
    """What receiving came to: how many were new, and how many were known already."""

    new: int
    repeated: int


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


class Ledger(Protocol):
    """What we know. Raises LedgerUnavailable when the database cannot be reached just now.

    1. When a method returns, what it wrote survives a crash of any process.
    2. Each method is one transaction: all of it happened, or none.
    3. `receive` keeps one row for a key, ever; a repetition only raises `deliveries`.
    4. `claim` gives an entry to one claimant at a time; a lease that ran out is free again.
    5. `save_*` writes only if the row still has the revision it was read with, else raises StaleWrite.
    6. `lease_rollout` gives a rollout to one worker at a time until it is saved, freed, or the lease runs out;
       `free_rollout` of a revision that was saved since changes nothing.
    7. Every state change leaves an audit row in the same transaction; audit rows never change.
    8. There is at most one open retraining for a model: `record_decision` raises StaleWrite for a second.
    9. `record_decision` settles the entries in `settles`, by default all it covers; the others stay open for the
       models that have yet to decide about them.
    10. A list cut off by its limit keeps the newest; retrainings and rollouts come oldest first.
    11. `recent` gives the entries received at `since` or later, settled or not, oldest first; `decisions` those made
        at `until` or before, newest first.
    """

    def receive(self, events: Sequence[Event], source: Source, now: datetime) -> Receipt: ...
    def count_ignored(self, type: str, reason: str, now: datetime) -> None: ...
    def ignored_counts(self) -> list[IgnoredCount]: ...
    def claim(
        self, causes: Collection[Cause], now: datetime, lease: timedelta, limit: int = 1000
    ) -> list[InboxEntry]: ...
    def release(self, keys: Sequence[str]) -> None: ...
    def settle(self, keys: Sequence[str], outcome: str, now: datetime, subject_id: str | None = None) -> None: ...
    def unsettled(self, causes: Collection[Cause]) -> list[InboxEntry]: ...
    def recent(self, causes: Collection[Cause], since: datetime) -> list[InboxEntry]: ...
    def mark_hinted(self, keys: Sequence[str], now: datetime) -> None: ...
    def entry(self, key_or_event_id: str) -> InboxEntry | None: ...
    def entries(self, limit: int = 50) -> list[InboxEntry]: ...

    def record_decision(
        self, record: DecisionRecord, retraining: Retraining | None, actor: str, settles: Collection[str] | None = None
    ) -> None: ...
    def decision(self, decision_id: str) -> DecisionRecord | None: ...
    def decisions(
        self, model: str | None = None, limit: int = 50, until: datetime | None = None
    ) -> list[DecisionRecord]: ...

    def retraining(self, retraining_id: str) -> Retraining | None: ...
    def retraining_by_job(self, run: str) -> Retraining | None: ...
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
    def lease_rollout(self, rollout: Rollout, now: datetime, lease: timedelta) -> bool: ...
    def free_rollout(self, rollout: Rollout) -> None: ...
    def save_rollout(
        self, rollout: Rollout, what: str, actor: str, now: datetime, detail: Mapping[str, Any]
    ) -> Rollout: ...

    def audit(self, subject_id: str | None = None, limit: int = 200) -> list[AuditRow]: ...
    def watermark(self, name: str) -> datetime | None: ...
    def set_watermark(self, name: str, at: datetime) -> None: ...


# --- Azure ------------------------------------------------------------------------------------------------


class RunStatus(StrEnum):
    """What an external run comes down to."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True)
class RunView:
    """An external run as seen just now. `detail` is a short reason, capped, without secrets."""

    status: RunStatus
    tags: Mapping[str, str]
    detail: str = ""


@dataclass(frozen=True, slots=True)
class TrainingOrder:
    """All a launcher needs to make, or to find, the one external run of a retraining."""

    retraining_id: str
    job_name: str
    model: str
    launcher: Launcher
    created_at: datetime


class TrainingLauncher(Protocol):
    """Starts trainings. Raises AzureUnavailable when it cannot tell whether the effect happened.

    1. `launch` sends at most one creating request; it is never repeated inside the adapter.
    2. `find` sees any run an earlier `launch` of the same order made, also one that raised or crashed.
    3. Both return the external run's id.
    4. `view` tells the state of the external run; None when Azure does not know it.
    """

    def find(self, order: TrainingOrder) -> str | None: ...
    def launch(self, order: TrainingOrder) -> str: ...
    def view(self, order: TrainingOrder, run_id: str) -> RunView | None: ...


class Jobs(Protocol):
    """Azure ML jobs.

    1. `submit` creates a job of exactly this name once; a second call for the same name and tags changes nothing.
    2. `get` is None for a job Azure does not know.
    """

    def submit(
        self, name: str, document: str, inputs: Mapping[str, str | int | float | bool], tags: Mapping[str, str]
    ) -> None: ...
    def get(self, name: str) -> RunView | None: ...


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A registered model version."""

    model: str
    version: str
    tags: Mapping[str, str]
    path: str = ""


class ModelRegistry(Protocol):
    """Registered models.

    1. `register` with the version and path of an existing version returns without a new one.
    2. `register` raises AzureRefused when the version exists with another path.
    3. `versions` is newest first.
    """

    def versions(self, model: str) -> list[ModelVersion]: ...
    def get(self, model: str, version: str) -> ModelVersion | None: ...
    def register(self, version: ModelVersion, type: str, description: str) -> None: ...


@dataclass(frozen=True, slots=True)
class EndpointView:
    """An online endpoint: traffic percent by deployment, and `model:version` (or None) by deployment."""

    name: str
    traffic: Mapping[str, int]
    models: Mapping[str, str | None]


class DeploymentState(StrEnum):
    """How far a deployment is."""

    ABSENT = "absent"
    CREATING = "creating"
    READY = "ready"
    FAILED = "failed"


class Endpoints(Protocol):
    """Managed online endpoints.

    1. `ensure` and `create_deployment` are upserts: repeating them changes nothing.
    2. `create_deployment` returns without waiting for the deployment to be ready.
    3. `set_traffic` reads back what it wrote and raises AzureUnavailable when it differs.
    4. `score` sends one request, to the named deployment if given, and returns who answered with the predictions.
    """

    def view(self, endpoint: str) -> EndpointView | None: ...
    def ensure(self, endpoint: str) -> None: ...
    def create_deployment(self, endpoint: str, deployment: str, model: ModelVersion, rule: Deploy) -> None: ...
    def deployment_state(self, endpoint: str, deployment: str) -> DeploymentState: ...
    def set_traffic(self, endpoint: str, traffic: Mapping[str, int]) -> None: ...
    def delete_deployment(self, endpoint: str, deployment: str) -> None: ...
    def score(
        self, endpoint: str, request: Mapping[str, Any], deployment: str | None = None
    ) -> tuple[str | None, Any]: ...


class EvidenceSource(Protocol):
    """Measurements about a policy's model, by the kind of source a policy names.

    1. `read` changes nothing, and gives only what was measured at `now` or before.
    2. Raises TemporaryError when it could not be asked just now; AzureRefused or InvalidTable when it cannot answer.
    """

    def read(self, source: SourceDocument, policy: Policy, history: History, now: datetime) -> list[Signal]: ...


class MissedEvents(Protocol):
    """What Azure knows happened, as the events that should have told us. Keys equal those of the real events.

    `monitors` are the names policies watch; runs of other experiments need not be looked at.
    """

    def drift(self, monitors: Collection[str], since: datetime, now: datetime) -> list[Event]: ...


class Notifier(Protocol):
    """Tells people. Raises NotificationFailed.

    1. `tell` is called after what it tells of was recorded, and at most once: it may be lost, never repeated.
    """

    def tell(self, title: str, text: str) -> None: ...


# --- flows ------------------------------------------------------------------------------------------------


class Flows(Protocol):
    """The Prefect server, as the relay needs it. Raises PrefectUnavailable.

    1. `hint` emits one event under the Azure type's own name; it may be lost, and repeated.
    2. `start` creates one flow run for an idempotency key, however often it is called.
    """

    def hint(self, event: Event) -> None: ...
    def start(self, deployment: str, idempotency_key: str, parameters: Mapping[str, Any]) -> str: ...
