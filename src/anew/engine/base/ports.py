"""The ports through which the engine reaches the outside, as Protocols with numbered obligations.

The suites in tests/contract hold every implementation to them, and a test fails for a port or an implementation that
has no suite.
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
from anew.core.retrainings.lifecycle import Retraining
from anew.core.rollouts.traffic import RequestStats

# --- Azure ------------------------------------------------------------------------------------------------


class RunStatus(StrEnum):
    """The state of an external run."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True)
class RunView:
    """An external run as Azure shows it now. `detail` is a short reason, capped, without secrets; `experiment` and
    `git_commit` are empty where they are not known.
    """

    status: RunStatus
    tags: Mapping[str, str]
    detail: str = ""
    experiment: str = ""
    git_commit: str = ""


@dataclass(frozen=True, slots=True)
class TrainingOrder:
    """Everything a launcher needs to create, or to find, the one external run of a retraining."""

    retraining_id: str
    job_name: str
    model: str
    launcher: Launcher
    created_at: datetime


class TrainingLauncher(Protocol):
    """Starts trainings. Raises AzureUnavailable when it cannot tell whether the effect happened.

    1. `launch` sends at most one request that creates a run; the adapter never repeats it.
    2. `find` finds any run that an earlier `launch` of the same order created, even if that call raised or crashed.
    3. Both return the external run's id.
    4. `view` returns the state of the external run, or None when Azure does not know it.
    5. `cancel` asks Azure to end the run. It changes nothing if the run has ended, or Azure does not know it.
    6. `ended` returns ids of runs that ended at `since` or later, in a few reads however many there are. It may miss
       some, but never includes a run that is still running.
    7. At `send_before` or later, `launch` creates no run and raises AzureUnavailable.
    """

    def find(self, order: TrainingOrder) -> str | None: ...
    def launch(self, order: TrainingOrder, send_before: datetime) -> str: ...
    def view(self, order: TrainingOrder, run_id: str) -> RunView | None: ...
    def cancel(self, order: TrainingOrder, run_id: str) -> None: ...
    def ended(self, launchers: Collection[Launcher], since: datetime, now: datetime) -> set[str]: ...


class Jobs(Protocol):
    """Azure ML jobs.

    1. `submit` creates a job of exactly this name once; a second call for the same name and tags changes nothing. It
       sets those `optional` inputs that the document declares. At `send_before` or later it creates no job and raises
       AzureUnavailable.
    2. `get` returns None for a job that Azure does not know.
    3. `cancel` asks Azure to end the job. It changes nothing if the job has ended, or Azure does not know it.
    4. `ended` returns names of jobs that ended at `since` or later, in a few reads. It may miss some, but never
       includes a job that is still running.
    5. `metrics` returns the last value of each metric the job logged, if it is a finite number. Raises AzureNotFound.
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

    1. `register` does nothing if the version exists with the same path.
    2. `register` raises AzureRefused if the version exists with another path.
    3. `versions` returns the newest first.
    4. `set_tags` changes only the named tags; repeating it changes nothing. Raises AzureNotFound.
    """

    def versions(self, model: str) -> list[ModelVersion]: ...
    def get(self, model: str, version: str) -> ModelVersion | None: ...
    def register(self, version: ModelVersion, type: str, description: str) -> None: ...
    def set_tags(self, model: str, version: str, tags: Mapping[str, str]) -> None: ...


@dataclass(frozen=True, slots=True)
class EndpointView:
    """An endpoint. `traffic` and `mirror` map deployments to percent of the live and mirrored traffic, `models` maps
    them to `model:version` or None. A batch endpoint's default deployment has 100 percent.
    """

    name: str
    traffic: Mapping[str, int]
    models: Mapping[str, str | None]
    mirror: Mapping[str, int] = field(default_factory=dict[str, int])


class DeploymentState(StrEnum):
    """The state of a deployment."""

    ABSENT = "absent"
    CREATING = "creating"
    READY = "ready"
    FAILED = "failed"


class Endpoints(Protocol):
    """Online or batch endpoints.

    1. `ensure` and `create_deployment` are upserts: repeating them changes nothing.
    2. `create_deployment` returns without waiting for the deployment to be ready.
    3. `set_traffic` writes live and mirrored traffic together, reads both back, and raises AzureUnavailable if they
       differ. `expected` is the live traffic that the caller last saw: if the endpoint has another, `set_traffic`
       writes nothing and raises TrafficMoved.
    4. `score` sends one request, to the named deployment if one is given, and returns the deployment that answered,
       with its predictions.
    5. While Azure is changing the endpoint (409), a write changes nothing and raises AzureUnavailable.
    6. `delete_deployment` changes nothing if the deployment does not exist, and raises AzureRefused if it has live
       traffic.
    7. Batch endpoints have no mirror and no shares other than 0 and 100, and their `score` raises AzureRefused.
    8. `until` returns the same endpoints, whose writes at this moment or later change nothing and raise
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
    """The requests that deployments answered.

    1. `read` counts the requests, live and mirrored, that each of these deployments answered in [since, until). The
       count of a deployment that answered none is zero.
    2. With `scores`, it also counts the scores of the requests that logged one.
    3. Raises TemporaryError when the log cannot be read at the moment, and AzureRefused when it never can.
    """

    def read(
        self, endpoint: str, deployments: Collection[str], since: datetime, until: datetime, *, scores: bool
    ) -> Mapping[str, RequestStats]: ...


class EvidenceReader(Protocol):
    """Reads the measurements of a policy's model from the sources of one kind.

    1. `read` changes nothing, and returns only values measured at `now` or before.
    2. Raises TemporaryError when the source cannot be read at the moment, and AzureRefused or InvalidTable when it
       never can.
    """

    def read(self, source: EvidenceSpec, policy: Policy, history: History, now: datetime) -> list[Signal]: ...


class MissedEvents(Protocol):
    """Events that Azure should have sent, found by asking Azure. Their keys are those of the real events.

    1. `drift` returns the drift since `since`. `monitors` are the names that policies watch; runs of other experiments
       may be missing.
    2. `completed` returns the completed runs of these experiments that were started since `since`; runs inside other
       runs may be missing.
    3. `confirm` returns those of these drift events that Azure confirms, by key and with Azure's values. It leaves out
       an event that Azure does not know, or not yet: the event may be forged or stale.
    """

    def drift(self, monitors: Collection[str], since: datetime, now: datetime) -> list[Event]: ...
    def completed(self, experiments: Collection[str], since: datetime, now: datetime) -> list[Event]: ...
    def confirm(self, events: Sequence[Event], now: datetime) -> Mapping[str, Event]: ...


# --- people and Prefect -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Notification:
    """A message for people and for automations. `kind` is for example `rollout.live`, and `about` is the id of the
    subject. A notification that asks a question has the time `until` which an answer is accepted.
    """

    kind: str
    about: str
    model: str
    title: str
    text: str
    until: datetime | None = None


class Notifier(Protocol):
    """Sends notifications. Raises NotificationFailed.

    1. `send` delivers a notification at most once: it may be lost, but is never repeated. The engine calls it after
       it has recorded the event.
    """

    def send(self, notification: Notification) -> None: ...


class Forms(Protocol):
    """Forms that ask a person for an approval. Raises PrefectUnavailable.

    1. `unfinished` maps the id of each form that has not ended to the id of its retraining.
    2. `ask` opens one form for a retraining and the time since when it waits, however often it is called.
    3. `withdraw` ends a form that is not filled in; a form that is filled in or has ended does not change.
    """

    def unfinished(self) -> Mapping[str, str]: ...
    def ask(self, retraining: Retraining) -> None: ...
    def withdraw(self, form: str, why: str) -> None: ...


class Flows(Protocol):
    """The Prefect server, as the relay needs it. Raises PrefectUnavailable.

    1. `hint` emits one event under the name of the Azure event type; it may be lost or repeated.
    2. `start` creates one flow run for an idempotency key, however often it is called, and returns its id.
    """

    def hint(self, event: Event) -> None: ...
    def start(self, deployment: str, idempotency_key: str, parameters: Mapping[str, Any]) -> str: ...
