"""Azure ML jobs and models through azure-ai-ml. Importing that takes seconds, so only this package does."""

import math
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from azure.ai.ml import MLClient, load_job
from azure.ai.ml.entities import Job, Model
from azure.core.exceptions import AzureError

from anew.adapters.azure.errors import translated
from anew.adapters.azure.machine_learning.mlflow_tracking import MlflowTracking
from anew.adapters.azure.monitor.log_analytics import ENDED_QUERY, LogAnalytics
from anew.adapters.azure.sending import sent_before
from anew.core.base.versions import version_order
from anew.core.policies.policy import AzureMLLauncher, Launcher
from anew.core.retrainings.lineage_tags import RETRAINING_TAG
from anew.engine.base.ports import ModelVersion, RunStatus, RunView, TrainingOrder
from anew.errors import AzureNotFound, AzureRefused, InvalidPolicy

Literal = str | int | float | bool

_STATUS: Mapping[str, RunStatus] = {
    "completed": RunStatus.COMPLETED,
    "finished": RunStatus.COMPLETED,
    "failed": RunStatus.FAILED,
    "notresponding": RunStatus.FAILED,
    "canceled": RunStatus.CANCELED,
}

_GIT_COMMIT = "mlflow.source.git.commit"
_SOON = timedelta(minutes=1)


class AzureMLJobs:
    """Implements Jobs. Azure ML creates one job for a name, so it is safe to repeat `submit`."""

    def __init__(
        self,
        client: Callable[[], MLClient],
        logs: LogAnalytics | None = None,
        tracking: MlflowTracking | None = None,
    ) -> None:
        self._client = client
        self._logs = logs
        self._tracking = tracking

    def submit(
        self,
        name: str,
        document: str,
        inputs: Mapping[str, Literal],
        tags: Mapping[str, str],
        send_before: datetime,
        *,
        optional: Mapping[str, str] = {},
    ) -> None:
        job = load_named(Path(document), name, inputs, tags, optional)
        try:
            with translated(f"submit job {name}"), sent_before(send_before):
                self._client().jobs.create_or_update(job)
        except AzureRefused:
            # Either a job of this name exists (JobPropertyImmutable), or the job is invalid: we read it to find out.
            known = self.get(name)
            if known is None or known.tags.get(RETRAINING_TAG) != tags.get(RETRAINING_TAG):
                raise

    def get(self, name: str) -> RunView | None:
        try:
            with translated(f"read job {name}"):
                job = self._client().jobs.get(name)
        except AzureNotFound:
            return None
        return view_of(job)

    def cancel(self, name: str) -> None:
        try:
            with translated(f"cancel job {name}"):
                self._client().jobs.begin_cancel(name, polling=False)
        except AzureNotFound:
            return
        except AzureRefused:
            # Whether Azure accepts the cancelling of an ended job is unverified, so we check if it still runs.
            view = self.get(name)
            if view is not None and view.status is RunStatus.RUNNING:
                raise

    def ended(self, since: datetime, now: datetime) -> set[str]:
        if self._logs is None or not self._logs.has_workspace:
            return set()
        try:
            frame = self._logs.frame(ENDED_QUERY, None, now - since, now)
        except AzureRefused:
            # The workspace's diagnostic setting does not send this table: then each job is polled.
            return set()
        return {str(name) for name in frame["RunId"]} if "RunId" in frame else set()

    def metrics(self, name: str) -> Mapping[str, float]:
        if self._tracking is None:
            raise AzureRefused(f"metrics of {name}: no MLflow tracking address is configured")
        with self._tracking.api() as api:
            last = api.run(name).last
        return {
            metric: point.value
            for metric, point in last.items()
            if point.value is not None and math.isfinite(point.value)
        }


def view_of(job: Job) -> RunView:
    """The SDK's job as a view."""
    status = _STATUS.get((job.status or "").casefold(), RunStatus.RUNNING)
    properties: Mapping[str, str] = job.properties or {}
    tags: dict[str, str] = dict(job.tags or {})
    # The SDK writes the commit into the properties of a job it submits; MLflow sets a tag of that name on its runs.
    commit = properties.get(_GIT_COMMIT) or tags.get(_GIT_COMMIT) or ""
    return RunView(status, tags, properties.get("error", "")[:300], str(job.experiment_name or ""), commit)


def load_named(
    document: Path,
    name: str,
    inputs: Mapping[str, Literal],
    tags: Mapping[str, str],
    optional: Mapping[str, str] = {},
) -> Job:
    """The job of a YAML document (as for `az ml job create`), with this name and these inputs and tags. Of the optional
    inputs, it sets those that the document declares.

    Raises InvalidPolicy if the document is not a job, or does not declare one of the inputs.
    """
    try:
        content = yaml.safe_load(document.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise InvalidPolicy((f"{document}: not an Azure ML job: the document is not a mapping",))
        declared: Mapping[str, Any] = content.get("inputs") or {}
        overrides: list[dict[str, Any]] = [{"name": name}, {"tags": {**(content.get("tags") or {}), **tags}}]
        offered = {key: value for key, value in optional.items() if key in declared}
        for key, value in {**offered, **inputs}.items():
            if key not in declared:
                known = ", ".join(sorted(declared)) or "none"
                raise InvalidPolicy((f"{document}: inputs: '{key}' is not declared; declared: {known}",))
            # Data and models are declared as a mapping with a path, literals as themselves.
            path = f"inputs.{key}.path" if isinstance(declared[key], dict) else f"inputs.{key}"
            overrides.append({path: value})
        return load_job(source=document, params_override=overrides)
    except (OSError, ValueError, yaml.YAMLError, AzureError) as error:
        raise InvalidPolicy((f"{document}: not an Azure ML job: {error}",)) from error


class AzureMLTraining:
    """Implements TrainingLauncher by submitting the policy's job under the retraining's own name."""

    def __init__(self, jobs: AzureMLJobs) -> None:
        self._jobs = jobs

    def find(self, order: TrainingOrder) -> str | None:
        return order.job_name if self._jobs.get(order.job_name) else None

    def launch(self, order: TrainingOrder, send_before: datetime) -> str:
        if not isinstance(order.launcher, AzureMLLauncher):
            raise TypeError(f"{order.retraining_id} is not for Azure ML")
        tags = {RETRAINING_TAG: order.retraining_id}
        self._jobs.submit(order.job_name, order.launcher.job, order.launcher.inputs, tags, send_before)
        return order.job_name

    def view(self, order: TrainingOrder, run_id: str) -> RunView | None:
        return self._jobs.get(run_id)

    def cancel(self, order: TrainingOrder, run_id: str) -> None:
        self._jobs.cancel(run_id)

    def ended(self, launchers: Collection[Launcher], since: datetime, now: datetime) -> set[str]:
        return set()  # its runs are jobs, which `Jobs.ended` includes


class AzureMLRegistry:
    """Implements ModelRegistry. Azure ML has no conditional write, and writes a version as a whole, with all its tags.
    So a write is sent soon or not at all: a minute later somebody may have removed the tags that deploy the version.
    """

    def __init__(
        self, client: Callable[[], MLClient], clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._client = client
        self._clock = clock

    def versions(self, model: str) -> list[ModelVersion]:
        try:
            with translated(f"list versions of {model}"):
                known = [_version(item) for item in self._client().models.list(name=model)]
        except AzureNotFound:
            return []
        return sorted(known, key=lambda item: version_order(item.version), reverse=True)

    def get(self, model: str, version: str) -> ModelVersion | None:
        try:
            with translated(f"read model {model}:{version}"):
                return _version(self._client().models.get(model, version))
        except AzureNotFound:
            return None

    def register(self, version: ModelVersion, type: str, description: str) -> None:
        entity = Model(
            name=version.model,
            version=version.version,
            path=version.path,
            type=type,
            tags=dict(version.tags),
            description=description,
        )
        with translated(f"register {version.model}:{version.version}"), self._soon():
            self._client().models.create_or_update(entity)

    def set_tags(self, model: str, version: str, tags: Mapping[str, str]) -> None:
        """As in the port. A tag that somebody else sets between reading and writing is lost. The SDK writes every
        version as not archived.
        """
        with translated(f"tag {model}:{version}"), self._soon():
            entity = self._client().models.get(model, version)
            known: Mapping[str, str] = entity.tags or {}
            wanted = {**known, **tags}
            if wanted != known:
                entity.tags = wanted
                self._client().models.create_or_update(entity)

    def _soon(self) -> AbstractContextManager[None]:
        return sent_before(self._clock() + _SOON, self._clock)


def _version(model: Model) -> ModelVersion:
    return ModelVersion(str(model.name), str(model.version), dict(model.tags or {}), str(model.path or ""))
