"""What the engine asks of the outside, as Protocols whose obligations are numbered.

Every implementation is held to these by the contract suite in tests/contract.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from anew.core.events.event import Event
from anew.core.evidence.history import History
from anew.core.evidence.signals import Signal
from anew.core.policies.deploy import Deploy
from anew.core.policies.evidence import EvidenceSpec
from anew.core.policies.policy import Launcher, Policy
from anew.core.rollouts.traffic import RequestStats

# --- Azure ------------------------------------------------------------------------------------------------


class RunStatus(StrEnum):
    """What an external run comes down to."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True)
class RunView:
    """An external run as seen just now. `detail` is a short reason, capped, without secrets; `experiment` is empty
    where nobody says, `git_commit` where the code is in no repository.
    """

    status: RunStatus
    tags: Mapping[str, str]
    detail: str = ""
    experiment: str = ""
    git_commit: str = ""


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
    5. `cancel` asks for the end of the run; of one that has ended, or that Azure does not know, it changes nothing.
    6. `ended` gives ids of runs that ended at `since` or later, in a few reads however many there are. It may leave
       some out, and names none that runs.
    7. `launch` sends nothing that makes a run at `send_before` or later, but raises AzureUnavailable.
    """

    def find(self, order: TrainingOrder) -> str | None: ...
    def launch(self, order: TrainingOrder, send_before: datetime) -> str: ...
    def view(self, order: TrainingOrder, run_id: str) -> RunView | None: ...
    def cancel(self, order: TrainingOrder, run_id: str) -> None: ...
    def ended(self, launchers: Collection[Launcher], since: datetime, now: datetime) -> set[str]: ...


class Jobs(Protocol):
    """Azure ML jobs.

    1. `submit` creates a job of exactly this name once; a second call for the same name and tags changes nothing. Of
       `optional` it sets the inputs that the document declares. At `send_before` or later it creates nothing, but
       raises AzureUnavailable.
    2. `get` is None for a job Azure does not know.
    3. `cancel` asks for the end of the job; of one that has ended, or that Azure does not know, it changes nothing.
    4. `ended` gives names of jobs that ended at `since` or later, in a few reads. It may leave some out, and names
       none that runs.
    5. `metrics` gives the last value of each metric the job logged, as far as it is a finite number. Raises
       AzureNotFound.
    """

    def submit(
        self,
        name: str,
        document: str,
        inputs: Mapping[str, str | int | float | bool],
        tags: Mapping[str, str],
        send_before: datetime,
        *,
        optional: Mapping[str, str] = {},
    ) -> None: ...
    def get(self, name: str) -> RunView | None: ...
    def cancel(self, name: str) -> None: ...
    def ended(self, since: datetime, now: datetime) -> set[str]: ...
    def metrics(self, name: str) -> Mapping[str, float]: ...


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
    4. `set_tags` changes the named tags only; repeating it changes nothing. Raises AzureNotFound.
    """

    def versions(self, model: str) -> list[ModelVersion]: ...
    def get(self, model: str, version: str) -> ModelVersion | None: ...
    def register(self, version: ModelVersion, type: str, description: str) -> None: ...
    def set_tags(self, model: str, version: str, tags: Mapping[str, str]) -> None: ...


@dataclass(frozen=True, slots=True)
class EndpointView:
    """An endpoint: percent of the live and of the mirrored traffic by deployment, and `model:version` (or None) by
    deployment. A batch endpoint's default deployment takes 100.
    """

    name: str
    traffic: Mapping[str, int]
    models: Mapping[str, str | None]
    mirror: Mapping[str, int] = field(default_factory=dict[str, int])


class DeploymentState(StrEnum):
    """How far a deployment is."""

    ABSENT = "absent"
    CREATING = "creating"
    READY = "ready"
    FAILED = "failed"


class Endpoints(Protocol):
    """Online or batch endpoints.

    1. `ensure` and `create_deployment` are upserts: repeating them changes nothing.
    2. `create_deployment` returns without waiting for the deployment to be ready.
    3. `set_traffic` writes live and mirrored traffic at once, reads it back, and raises AzureUnavailable when it
       differs. With `expected`, the live traffic the caller last saw, it raises TrafficMoved and writes nothing when
       the endpoint has another.
    4. `score` sends one request, to the named deployment if given, and returns who answered with the predictions.
    5. While Azure still changes the endpoint (409) a write raises AzureUnavailable and changes nothing.
    6. `delete_deployment` of one that does not exist changes nothing; of one with live traffic it raises AzureRefused.
    7. Batch endpoints know no mirror and no shares but 0 and 100, and `score` raises AzureRefused.
    8. `until` gives the same endpoints, whose writes change nothing at this moment or later, but raise
       AzureUnavailable.
    """

    def until(self, moment: datetime) -> "Endpoints": ...
    def view(self, endpoint: str) -> EndpointView | None: ...
    def ensure(self, endpoint: str) -> None: ...
    def create_deployment(self, endpoint: str, deployment: str, model: ModelVersion, rule: Deploy) -> None: ...
    def deployment_state(self, endpoint: str, deployment: str) -> DeploymentState: ...
    def set_traffic(
        self,
        endpoint: str,
        traffic: Mapping[str, int],
        *,
        mirror: Mapping[str, int] = {},
        expected: Mapping[str, int] | None = None,
    ) -> None: ...
    def delete_deployment(self, endpoint: str, deployment: str) -> None: ...
    def score(
        self, endpoint: str, request: Mapping[str, Any], deployment: str | None = None
    ) -> tuple[str | None, Any]: ...


class TrafficLog(Protocol):
    """What deployments answered.

    1. `read` counts what each of these deployments answered in [since, until), live and mirrored; one that answered
       nothing has zero requests.
    2. Scores are counted when asked for, of requests that left one.
    3. Raises TemporaryError when it could not be asked just now; AzureRefused when it cannot answer.
    """

    def read(
        self, endpoint: str, deployments: Collection[str], since: datetime, until: datetime, *, scores: bool
    ) -> Mapping[str, RequestStats]: ...


class EvidenceReader(Protocol):
    """Measurements about a policy's model, by the kind of source a policy names.

    1. `read` changes nothing, and gives only what was measured at `now` or before.
    2. Raises TemporaryError when it could not be asked just now; AzureRefused or InvalidTable when it cannot answer.
    """

    def read(self, source: EvidenceSpec, policy: Policy, history: History, now: datetime) -> list[Signal]: ...


class MissedEvents(Protocol):
    """What Azure knows happened, as the events that should have told us. Keys equal those of the real events.

    1. `drift` gives the drift of a window; `monitors` are the names policies watch, and runs of other experiments need
       not be looked at.
    2. `completed` gives the runs of these experiments that were started in a window and have completed; runs within
       other runs need not be among them.
    3. `confirm` gives, by key, each of these drift events as Azure itself tells of it. One that Azure knows nothing
       of, or not yet, is left out: it may be forged, or stale.
    """

    def drift(self, monitors: Collection[str], since: datetime, now: datetime) -> list[Event]: ...
    def completed(self, experiments: Collection[str], since: datetime, now: datetime) -> list[Event]: ...
    def confirm(self, events: Sequence[Event], now: datetime) -> Mapping[str, Event]: ...


@dataclass(frozen=True, slots=True)
class Notification:
    """What people, and other automations, are told. `kind` is such as `rollout.live`; `about` the id it is about. News
    that asks something says until when an answer is taken.
    """

    kind: str
    about: str
    model: str
    title: str
    text: str
    until: datetime | None = None


class Notifier(Protocol):
    """Tells people, or other automations. Raises NotificationFailed.

    1. `tell` is called after what it tells of was recorded, and at most once: it may be lost, never repeated.
    """

    def send(self, news: Notification) -> None: ...


# --- flows ------------------------------------------------------------------------------------------------


class Flows(Protocol):
    """The Prefect server, as the relay needs it. Raises PrefectUnavailable.

    1. `hint` emits one event under the Azure type's own name; it may be lost, and repeated.
    2. `start` creates one flow run for an idempotency key, however often it is called.
    """

    def hint(self, event: Event) -> None: ...
    def start(self, deployment: str, idempotency_key: str, parameters: Mapping[str, Any]) -> str: ...
