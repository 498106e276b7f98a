"""Batch endpoints through azure-ai-ml: the default deployment takes all the traffic."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from azure.ai.ml import MLClient
from azure.ai.ml.entities import BatchEndpoint, ModelBatchDeployment, ModelBatchDeploymentSettings

from anew.adapters.azure.errors import translated
from anew.adapters.azure.machine_learning.endpoints import (
    changing,
    finish,
    refuse_if_live,
    refuse_if_moved,
    refuse_unless_written,
    scoring_code,
    state_of,
)
from anew.adapters.azure.sending import sent_before
from anew.core.policies.deploy import Deploy
from anew.core.rollouts.naming import model_of_reference
from anew.core.rollouts.traffic import is_all_or_nothing, nonzero
from anew.engine.base.ports import DeploymentState, EndpointView, ModelVersion
from anew.errors import AzureNotFound, AzureRefused, AzureUnavailable

_PATIENCE = timedelta(minutes=2)  # less than the lease of the endpoint, which is held meanwhile
_MINI_BATCH_SIZE = 10  # files for one call of a scoring script; the SDK requires a number


class BatchEndpoints:
    """Implements Endpoints. `patience` is the longest wait for a change of the default deployment. From `until` on,
    writes are late.
    """

    def __init__(
        self, client: Callable[[], MLClient], *, patience: timedelta = _PATIENCE, until: datetime | None = None
    ) -> None:
        self._client = client
        self._patience = patience
        self._until = until

    def until(self, moment: datetime) -> "BatchEndpoints":
        return BatchEndpoints(self._client, patience=self._patience, until=moment)

    def view(self, endpoint: str) -> EndpointView | None:
        try:
            found = self._read(endpoint)
            with translated(f"read deployments of {endpoint}"):
                deployments = list(self._client().batch_deployments.list(endpoint))
        except AzureNotFound:
            return None
        models = {str(item.name): model_of_reference(str(item.model or "")) for item in deployments}
        return EndpointView(endpoint, _traffic(found), models)

    def ensure(self, endpoint: str) -> None:
        """As in the port. Raises AzureUnavailable while Azure creates the endpoint."""
        try:
            found = self._read(endpoint)
        except AzureNotFound:
            what = f"create batch endpoint {endpoint}"
            with translated(what), sent_before(self._until):
                entity = BatchEndpoint(name=endpoint)
                finish(what, self._client().batch_endpoints.begin_create_or_update(entity), timedelta(0))
            return
        if state_of(found) is DeploymentState.CREATING:
            raise AzureUnavailable(f"Azure is still creating or changing the batch endpoint {endpoint}")

    def create_deployment(self, endpoint: str, deployment: str, model: ModelVersion, rule: Deploy) -> None:
        entity = ModelBatchDeployment(
            name=deployment,
            endpoint_name=endpoint,
            model=f"azureml:{model.model}:{model.version}",
            environment=rule.environment,
            code_configuration=scoring_code(rule),
            compute=rule.compute,
            settings=ModelBatchDeploymentSettings(mini_batch_size=_MINI_BATCH_SIZE, instance_count=rule.instance_count),
        )
        with (
            changing(f"create batch deployment {endpoint}/{deployment}", lambda: self._read(endpoint)),
            sent_before(self._until),
        ):
            self._client().batch_deployments.begin_create_or_update(entity)

    def deployment_state(self, endpoint: str, deployment: str) -> DeploymentState:
        try:
            with translated(f"read batch deployment {endpoint}/{deployment}"):
                return state_of(self._client().batch_deployments.get(deployment, endpoint))
        except AzureNotFound:
            return DeploymentState.ABSENT

    def set_traffic(
        self,
        endpoint: str,
        traffic: Mapping[str, int],
        *,
        mirror: Mapping[str, int] = {},
        expected: Mapping[str, int] | None = None,
    ) -> None:
        """As in the port, with the same gap between reading and writing as for an online endpoint."""
        if not is_all_or_nothing(traffic, mirror):
            raise AzureRefused(f"the batch endpoint {endpoint} gives all jobs to one deployment, or to none")
        what = f"switch the default deployment of {endpoint}"
        with changing(what, lambda: self._read(endpoint)), sent_before(self._until):
            entity = self._client().batch_endpoints.get(endpoint)
            refuse_if_moved(endpoint, _traffic(entity), expected)
            taker = next(iter(nonzero(traffic)), None)
            entity.defaults = {"deployment_name": taker} if taker else {}
            finish(what, self._client().batch_endpoints.begin_create_or_update(entity), self._patience)
        refuse_unless_written(endpoint, (traffic, _traffic(self._read(endpoint))), ({}, {}))

    def delete_deployment(self, endpoint: str, deployment: str) -> None:
        try:
            refuse_if_live(endpoint, deployment, _traffic(self._read(endpoint)))
            with (
                changing(f"delete batch deployment {endpoint}/{deployment}", lambda: self._read(endpoint)),
                sent_before(self._until),
            ):
                self._client().batch_deployments.begin_delete(deployment, endpoint)
        except AzureNotFound:
            return

    def score(self, endpoint: str, request: Mapping[str, Any], deployment: str | None = None) -> tuple[str | None, Any]:
        raise AzureRefused(f"the batch endpoint {endpoint} answers by jobs, not requests")

    def _read(self, endpoint: str) -> BatchEndpoint:
        with translated(f"read batch endpoint {endpoint}"):
            return self._client().batch_endpoints.get(endpoint)


def _traffic(endpoint: BatchEndpoint) -> dict[str, int]:
    # A mapping if we created it, an object of the REST client if it was read.
    defaults: Any = endpoint.defaults or {}
    name = defaults.get("deployment_name") if isinstance(defaults, dict) else defaults.deployment_name
    return {str(name): 100} if name else {}
