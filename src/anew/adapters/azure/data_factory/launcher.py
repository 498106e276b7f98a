"""Training by an Azure Data Factory pipeline."""

import logging
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from azure.mgmt.datafactory import DataFactoryManagementClient

from anew.adapters.azure.errors import translated
from anew.adapters.azure.sending import sent_before
from anew.core.policies.policy import DataFactoryLauncher, Launcher
from anew.engine.base.ports import RunStatus, RunView, TrainingOrder
from anew.errors import AzureNotFound, AzureRefused

RETRAINING_PARAMETER = "anew_retraining_id"
JOB_PARAMETER = "anew_job_name"

_STATUS: Mapping[str, RunStatus] = {
    "succeeded": RunStatus.COMPLETED,
    "failed": RunStatus.FAILED,
    "cancelled": RunStatus.CANCELED,
}
_CLOCK_SKEW = timedelta(minutes=10)

logger = logging.getLogger(__name__)


class DataFactoryTraining:
    """Implements TrainingLauncher. createRun has no idempotency key, so a declared pipeline parameter carries the
    retraining's id, and `find` searches for it.
    """

    def __init__(self, client: DataFactoryManagementClient, resource_group: str, factory: str | None) -> None:
        self._client = client
        self._group = resource_group
        self._factory = factory

    def find(self, order: TrainingOrder) -> str | None:
        launcher = _launcher(order)
        window = {
            "lastUpdatedAfter": (order.created_at - _CLOCK_SKEW).isoformat(),
            "lastUpdatedBefore": (datetime.now(UTC) + _CLOCK_SKEW).isoformat(),
            "filters": [{"operand": "PipelineName", "operator": "Equals", "values": [launcher.pipeline]}],
        }
        with translated(f"look for runs of pipeline {launcher.pipeline}"):
            for run in self._runs(self._factory_of(launcher), window):
                if (run.get("parameters") or {}).get(RETRAINING_PARAMETER) == order.retraining_id:
                    return str(run["runId"])
        return None

    def _runs(self, factory: str, window: dict[str, Any]) -> Iterator[Mapping[str, Any]]:
        while True:
            body: Any = window  # plain JSON, because the SDK's models change their names between major versions
            page = self._client.pipeline_runs.query_by_factory(self._group, factory, body)
            yield from (run.as_dict() for run in page.value)
            if not page.continuation_token:
                return
            window = {**window, "continuationToken": page.continuation_token}

    def launch(self, order: TrainingOrder, send_before: datetime) -> str:
        launcher = _launcher(order)
        parameters = {
            **launcher.parameters,
            RETRAINING_PARAMETER: order.retraining_id,
            JOB_PARAMETER: order.job_name,
        }
        with translated(f"create a run of pipeline {launcher.pipeline}"), sent_before(send_before):
            # azure-core would repeat a POST on 500, 503 and 504, and each repetition would create another training.
            run = self._client.pipelines.create_run(
                self._group, self._factory_of(launcher), launcher.pipeline, parameters, retry_total=0
            )
        return run.run_id

    def view(self, order: TrainingOrder, run_id: str) -> RunView | None:
        factory = self._factory_of(_launcher(order))
        try:
            with translated(f"read pipeline run {run_id}"):
                run = self._client.pipeline_runs.get(self._group, factory, run_id)
        except AzureNotFound:
            return None
        status = _STATUS.get((run.status or "").casefold(), RunStatus.RUNNING)
        return RunView(status, {}, (run.message or "")[:300])

    def cancel(self, order: TrainingOrder, run_id: str) -> None:
        factory = self._factory_of(_launcher(order))
        try:
            with translated(f"cancel pipeline run {run_id}"):
                self._client.pipeline_runs.cancel(self._group, factory, run_id, is_recursive=True)
        except AzureNotFound:
            return
        except AzureRefused:
            # Whether Azure accepts the cancelling of an ended run is unverified, so we check if it still runs.
            view = self.view(order, run_id)
            if view is not None and view.status is RunStatus.RUNNING:
                raise

    def ended(self, launchers: Collection[Launcher], since: datetime, now: datetime) -> set[str]:
        named = {each.factory or self._factory for each in launchers if isinstance(each, DataFactoryLauncher)}
        window = {
            "lastUpdatedAfter": since.isoformat(),
            "lastUpdatedBefore": (now + _CLOCK_SKEW).isoformat(),
            "filters": [{"operand": "Status", "operator": "In", "values": ["Succeeded", "Failed", "Cancelled"]}],
        }
        ended: set[str] = set()
        for factory in sorted(filter(None, named)):
            try:
                with translated(f"look for pipeline runs of {factory} that ended"):
                    ended |= {str(run["runId"]) for run in self._runs(factory, window)}
            except AzureRefused as error:
                # A factory that refuses does not stop the others; its runs are polled one by one.
                logger.warning("%s", error)
        return ended

    def _factory_of(self, launcher: DataFactoryLauncher) -> str:
        factory = launcher.factory or self._factory
        if factory is None:
            raise AzureRefused(
                f"no data factory is configured for pipeline {launcher.pipeline}",
                advice="Set azure.data_factory in the settings, or retrain.launcher.factory in the policy",
            )
        return factory


def _launcher(order: TrainingOrder) -> DataFactoryLauncher:
    if not isinstance(order.launcher, DataFactoryLauncher):
        raise TypeError(f"{order.retraining_id} is not for Data Factory")
    return order.launcher
