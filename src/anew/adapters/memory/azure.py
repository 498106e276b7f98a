"""Azure in memory: the world behind the Azure ports, its trainings and its jobs.

Nothing happens in it by itself: jobs end and deployments become ready when `settle` is called, and calls fail when a
test plans it.
"""

import math
from collections import Counter
from collections.abc import Callable, Collection, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from anew.core.events.event import Event
from anew.core.evidence.signals import Signal
from anew.core.policies.policy import AzureMLLauncher, DataFactoryLauncher, Launcher
from anew.core.retrainings.lineage_tags import RETRAINING_TAG
from anew.engine.base.ports import DeploymentState, ModelVersion, RunStatus, RunView, TrainingLauncher, TrainingOrder
from anew.errors import AzureNotFound, AzureRefused, AzureUnavailable

_NEVER_LATE = datetime.min.replace(tzinfo=UTC)


class Crash(BaseException):
    """The process died here. Only a planned fault raises it, and only the test that planned it may catch it."""


class Fault(StrEnum):
    """How a call fails."""

    LOST_REQUEST = "lost-request"  # AzureUnavailable, and nothing happened
    LOST_ANSWER = "lost-answer"  # AzureUnavailable, and it happened
    CRASH_BEFORE = "crash-before"
    CRASH_AFTER = "crash-after"


@dataclass(frozen=True, slots=True)
class Ending:
    """How a job ends, and the tags and metrics that it has set on its own run by then."""

    status: RunStatus = RunStatus.COMPLETED
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    detail: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])


@dataclass(slots=True)
class MemoryJob:
    """An Azure ML job, which runs until `settle`."""

    tags: dict[str, str]
    ending: Ending
    inputs: Mapping[str, str | int | float | bool] = field(default_factory=dict[str, str | int | float | bool])
    status: RunStatus = RunStatus.RUNNING
    experiment: str = ""
    git_commit: str = ""

    @property
    def view(self) -> RunView:
        """The job as a client sees it now."""
        ended = self.status is not RunStatus.RUNNING
        tags = {**self.tags, **self.ending.tags} if ended else dict(self.tags)
        return RunView(self.status, tags, self.ending.detail, self.experiment, self.git_commit)


@dataclass(slots=True)
class MemoryPipelineRun:
    """A Data Factory run around one job. Without a job (`job` is None) it succeeds."""

    retraining_id: str
    job: str | None
    status: RunStatus = RunStatus.RUNNING


@dataclass(slots=True)
class MemoryDeployment:
    """A deployment of `model:version`."""

    model: str
    state: DeploymentState = DeploymentState.CREATING


@dataclass(slots=True)
class MemoryEndpoint:
    """An online or a batch endpoint."""

    traffic: dict[str, int] = field(default_factory=dict[str, int])
    mirror: dict[str, int] = field(default_factory=dict[str, int])
    deployments: dict[str, MemoryDeployment] = field(default_factory=dict[str, MemoryDeployment])


class MemoryAzure:
    """The world behind the ports.

    A test may change it:

    - `endings`: how jobs end, by job document or by pipeline
    - `down`, `refused`: names of calls that fail as long as they are in the set
    - `broken`, `silent`: the `model:version` whose deployments fail, or refuse to score
    - `unreadable`: jobs and endpoints about which it does not answer
    - `changing`: endpoints that accept no write before `settle`
    - `happened`: events that it reports when asked; `forged`: keys of events that it does not confirm
    - `archived`: versions that lists leave out
    - `reports_ends`: whether lists show ended runs; otherwise each run must be polled
    - `clock`: decides whether a request is late; by default none is

    `effects` counts what was really done, by kind and object. `calls` are the calls of the ports in their order.
    """

    def __init__(self, clock: Callable[[], datetime] = lambda: _NEVER_LATE) -> None:
        self.clock = clock
        self.jobs: dict[str, MemoryJob] = {}
        self.pipeline_runs: dict[str, MemoryPipelineRun] = {}
        self.models: dict[tuple[str, str], ModelVersion] = {}
        self.endpoints: dict[str, MemoryEndpoint] = {}
        self.batch_endpoints: dict[str, MemoryEndpoint] = {}
        self.changing: set[str] = set()
        self.signals: dict[str, list[Signal]] = {}
        self.happened: list[Event] = []
        self.forged: set[str] = set()
        self.reports_ends = True
        self.endings: dict[str, Ending] = {}
        self.pipelines_without_job: set[str] = set()
        self.archived: set[tuple[str, str]] = set()
        self.broken: set[str] = set()
        self.silent: set[str] = set()
        self.unreadable: set[str] = set()
        self.down: set[str] = set()
        self.refused: set[str] = set()
        self.effects: Counter[tuple[str, str]] = Counter()
        self.calls: list[str] = []
        self.is_dead = False
        self._plan: tuple[int, Fault] | None = None
        self._meanwhile: dict[str, Callable[[], object]] = {}

    def plan(self, call: int, fault: Fault) -> None:
        """Let the call at this index of `calls`, counted from 0, fail once."""
        self._plan = (call, fault)

    def stall(self, name: str, meanwhile: Callable[[], object]) -> None:
        """Call *meanwhile* once, right before the next request of this name is sent, while its sender waits."""
        self._meanwhile[name] = meanwhile

    def forget_plan(self) -> None:
        """Cancel a planned fault that has not happened yet."""
        self._plan = None

    def restart(self) -> None:
        """Begin a new process, which finds the effects of the dead one."""
        self.is_dead = False

    def settle(self) -> None:
        """Time passes in Azure: every running job ends, and every deployment being created is ready or failed."""
        for job in self.jobs.values():
            if job.status is RunStatus.RUNNING:
                job.status = job.ending.status
        for run in self.pipeline_runs.values():
            if run.status is RunStatus.RUNNING:
                run.status = self.jobs[run.job].status if run.job else RunStatus.COMPLETED
        self.changing.clear()
        endpoints = (*self.endpoints.values(), *self.batch_endpoints.values())
        for deployment in (item for endpoint in endpoints for item in endpoint.deployments.values()):
            if deployment.state is DeploymentState.CREATING:
                failed = deployment.model in self.broken
                deployment.state = DeploymentState.FAILED if failed else DeploymentState.READY

    @contextmanager
    def call(self, name: str, send_before: datetime | None = None) -> Generator[None]:
        """Wraps each call of a port: records it, and makes it fail if that is planned or it is late."""
        if self.is_dead:
            raise Crash(name)
        fault = self._plan[1] if self._plan and self._plan[0] == len(self.calls) else None
        self.calls.append(name)
        if name in self.refused:
            raise AzureRefused(f"{name}: refused on request")
        if name in self.down or fault is Fault.LOST_REQUEST:
            raise AzureUnavailable(f"{name}: no answer, on request")
        if fault is Fault.CRASH_BEFORE:
            raise self._death(name)
        if meanwhile := self._meanwhile.pop(name, None):
            meanwhile()
        if send_before is not None and self.clock() >= send_before:
            raise AzureUnavailable(f"{name}: late")
        yield
        if fault is Fault.LOST_ANSWER:
            raise AzureUnavailable(f"{name}: the answer was lost, on request")
        if fault is Fault.CRASH_AFTER:
            raise self._death(name)

    def _death(self, name: str) -> Crash:
        self.is_dead = True
        return Crash(name)

    def refuse_if_unreadable(self, name: str) -> None:
        """Raises AzureUnavailable for a job or an endpoint in `unreadable`."""
        if name in self.unreadable:
            raise AzureUnavailable(f"no answer about {name}, on request")

    def start_job(
        self,
        name: str,
        document: str,
        tags: Mapping[str, str],
        inputs: Mapping[str, str | int | float | bool] | None = None,
    ) -> None:
        """Create a job, once for its name. Raises AzureRefused when it belongs to another retraining."""
        known = self.jobs.get(name)
        if known is None:
            self.jobs[name] = MemoryJob(dict(tags), self.endings.get(document, Ending()), dict(inputs or {}))
            self.effects["job", name] += 1
        elif known.tags.get(RETRAINING_TAG) != tags.get(RETRAINING_TAG):
            raise AzureRefused(f"a job named {name} exists, and belongs to another retraining")

    def cancel_job(self, name: str) -> None:
        """End the job if it runs."""
        job = self.jobs.get(name)
        if job is not None and job.status is RunStatus.RUNNING:
            job.status = RunStatus.CANCELED
            self.effects["cancel", name] += 1

    def ended_jobs(self) -> set[str]:
        """Names of the jobs that have ended, unless `reports_ends` is off."""
        ended = {name for name, job in self.jobs.items() if job.status is not RunStatus.RUNNING}
        return ended if self.reports_ends else set()


# --- training ---------------------------------------------------------------------------------------------


class MemoryPipelines:
    """Implements TrainingLauncher by pipelines. As in Data Factory, two launches of one order create two runs."""

    def __init__(self, azure: MemoryAzure) -> None:
        self._azure = azure

    def find(self, order: TrainingOrder) -> str | None:
        with self._azure.call("launcher.find"):
            runs = self._azure.pipeline_runs.items()
            return next((run_id for run_id, run in runs if run.retraining_id == order.retraining_id), None)

    def launch(self, order: TrainingOrder, send_before: datetime) -> str:
        if not isinstance(order.launcher, DataFactoryLauncher):
            raise TypeError(f"{order.retraining_id} is not for Data Factory")
        pipeline = order.launcher.pipeline
        with self._azure.call("launcher.launch", send_before):
            run_id = f"run-{len(self._azure.pipeline_runs) + 1}"
            job = None if pipeline in self._azure.pipelines_without_job else order.job_name
            self._azure.pipeline_runs[run_id] = MemoryPipelineRun(order.retraining_id, job)
            self._azure.effects["run", order.retraining_id] += 1
            if job:
                self._azure.start_job(job, pipeline, {RETRAINING_TAG: order.retraining_id})
            return run_id

    def view(self, order: TrainingOrder, run_id: str) -> RunView | None:
        with self._azure.call("launcher.view"):
            run = self._azure.pipeline_runs.get(run_id)
            return RunView(run.status, {}) if run else None

    def cancel(self, order: TrainingOrder, run_id: str) -> None:
        with self._azure.call("launcher.cancel"):
            run = self._azure.pipeline_runs.get(run_id)
            if run is not None and run.status is RunStatus.RUNNING:
                run.status = RunStatus.CANCELED
                self._azure.effects["cancel", run_id] += 1

    def ended(self, launchers: Collection[Launcher], since: datetime, now: datetime) -> set[str]:
        with self._azure.call("launcher.ended"):
            runs = self._azure.pipeline_runs.items()
            return {run_id for run_id, run in runs if self._azure.reports_ends and run.status is not RunStatus.RUNNING}


class MemoryTrainingJobs:
    """Implements TrainingLauncher by jobs: their name makes it safe to repeat a launch."""

    def __init__(self, azure: MemoryAzure) -> None:
        self._azure = azure

    def find(self, order: TrainingOrder) -> str | None:
        with self._azure.call("launcher.find"):
            return order.job_name if order.job_name in self._azure.jobs else None

    def launch(self, order: TrainingOrder, send_before: datetime) -> str:
        if not isinstance(order.launcher, AzureMLLauncher):
            raise TypeError(f"{order.retraining_id} is not for Azure ML")
        with self._azure.call("launcher.launch", send_before):
            if order.job_name not in self._azure.jobs:
                self._azure.effects["run", order.retraining_id] += 1
            tags = {RETRAINING_TAG: order.retraining_id}
            self._azure.start_job(order.job_name, order.launcher.job, tags, order.launcher.inputs)
            return order.job_name

    def view(self, order: TrainingOrder, run_id: str) -> RunView | None:
        with self._azure.call("launcher.view"):
            job = self._azure.jobs.get(run_id)
            return job.view if job else None

    def cancel(self, order: TrainingOrder, run_id: str) -> None:
        with self._azure.call("launcher.cancel"):
            self._azure.cancel_job(run_id)

    def ended(self, launchers: Collection[Launcher], since: datetime, now: datetime) -> set[str]:
        with self._azure.call("launcher.ended"):
            return set()  # as on Azure ML, `Jobs.ended` includes them


def memory_launchers(azure: MemoryAzure) -> dict[str, TrainingLauncher]:
    """Both launchers, by the `kind` of a policy's launcher."""
    return {"adf": MemoryPipelines(azure), "aml": MemoryTrainingJobs(azure)}


class MemoryJobs:
    """Implements Jobs."""

    def __init__(self, azure: MemoryAzure) -> None:
        self._azure = azure

    def submit(
        self,
        name: str,
        document: str,
        inputs: Mapping[str, str | int | float | bool],
        tags: Mapping[str, str],
        send_before: datetime,
        *,
        optional: Mapping[str, str] = {},
    ) -> None:
        with self._azure.call("jobs.submit", send_before):
            self._azure.start_job(name, document, tags, {**optional, **inputs})

    def get(self, name: str) -> RunView | None:
        with self._azure.call("jobs.get"):
            self._azure.refuse_if_unreadable(name)
            job = self._azure.jobs.get(name)
            return job.view if job else None

    def cancel(self, name: str) -> None:
        with self._azure.call("jobs.cancel"):
            self._azure.cancel_job(name)

    def ended(self, since: datetime, now: datetime) -> set[str]:
        with self._azure.call("jobs.ended"):
            return self._azure.ended_jobs()

    def metrics(self, name: str) -> Mapping[str, float]:
        with self._azure.call("jobs.metrics"):
            job = self._azure.jobs.get(name)
            if job is None:
                raise AzureNotFound(f"Azure knows no job {name}")
            found = job.ending.metrics if job.status is not RunStatus.RUNNING else {}
            return {metric: value for metric, value in found.items() if math.isfinite(value)}
