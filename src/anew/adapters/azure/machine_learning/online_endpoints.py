"""Managed online endpoints through azure-ai-ml; scoring through httpx.

The SDK's own `invoke(deployment_name=...)` keeps its routing header in a shared dict and sends it with later calls
too, so this module sends the requests itself.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import httpx
from azure.ai.ml import MLClient
from azure.ai.ml.entities import ManagedOnlineDeployment, ManagedOnlineEndpoint, OnlineEndpoint

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
from anew.core.rollouts.traffic import nonzero
from anew.engine.base.ports import DeploymentState, EndpointView, ModelVersion
from anew.errors import AzureNotFound, AzureRefused, AzureUnavailable

DEPLOYMENT_HEADER = "azureml-model-deployment"
_PATIENCE = timedelta(minutes=2)  # less than the lease of the endpoint, which is held meanwhile


class OnlineEndpoints:
    """Implements Endpoints. `patience` is the longest wait for a change of the traffic. From `until` on, writes are
    late.
    """

    def __init__(
        self,
        client: Callable[[], MLClient],
        http: httpx.Client | None = None,
        *,
        patience: timedelta = _PATIENCE,
        until: datetime | None = None,
    ) -> None:
        self._client = client
        self._http = http or httpx.Client(timeout=30)
        self._patience = patience
        self._until = until

    def until(self, moment: datetime) -> "OnlineEndpoints":
        return OnlineEndpoints(self._client, self._http, patience=self._patience, until=moment)

    def view(self, endpoint: str) -> EndpointView | None:
        try:
            found = self._read(endpoint)
            with translated(f"read deployments of {endpoint}"):
                deployments = list(self._client().online_deployments.list(endpoint))
        except AzureNotFound:
            return None
        models = {str(item.name): model_of_reference(str(item.model or "")) for item in deployments}
        return EndpointView(endpoint, _shares(found.traffic), models, _shares(found.mirror_traffic))

    def ensure(self, endpoint: str) -> None:
        """As in the port. Raises AzureUnavailable while Azure creates the endpoint, which takes minutes."""
        try:
            found = self._read(endpoint)
        except AzureNotFound:
            what = f"create endpoint {endpoint}"
            with translated(what), sent_before(self._until):
                entity = ManagedOnlineEndpoint(name=endpoint, auth_mode="key")
                finish(what, self._client().online_endpoints.begin_create_or_update(entity), timedelta(0))
            return
        if state_of(found) is DeploymentState.CREATING:
            raise AzureUnavailable(f"Azure is still creating or changing the endpoint {endpoint}")

    def create_deployment(self, endpoint: str, deployment: str, model: ModelVersion, rule: Deploy) -> None:
        entity = ManagedOnlineDeployment(
            name=deployment,
            endpoint_name=endpoint,
            model=f"azureml:{model.model}:{model.version}",
            environment=rule.environment,
            code_configuration=scoring_code(rule),
            instance_type=rule.instance_type,
            instance_count=rule.instance_count,
        )
        with (
            changing(f"create deployment {endpoint}/{deployment}", lambda: self._read(endpoint)),
            sent_before(self._until),
        ):
            # We do not wait for the poller: creating takes minutes, and the next tick reads the state.
            self._client().online_deployments.begin_create_or_update(entity)

    def deployment_state(self, endpoint: str, deployment: str) -> DeploymentState:
        try:
            with translated(f"read deployment {endpoint}/{deployment}"):
                return state_of(self._client().online_deployments.get(deployment, endpoint))
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
        """As in the port. The SDK has no conditional write: a change by somebody else between reading the traffic and
        writing it, some tens of milliseconds, is overwritten unseen.
        """
        what = f"shift traffic of {endpoint}"
        with changing(what, lambda: self._read(endpoint)), sent_before(self._until):
            entity = self._client().online_endpoints.get(endpoint)
            refuse_if_moved(endpoint, _shares(entity.traffic), expected)
            entity.traffic, entity.mirror_traffic = nonzero(traffic), nonzero(mirror)
            finish(what, self._client().online_endpoints.begin_create_or_update(entity), self._patience)
        shown = self._read(endpoint)
        refuse_unless_written(endpoint, (traffic, _shares(shown.traffic)), (mirror, _shares(shown.mirror_traffic)))

    def delete_deployment(self, endpoint: str, deployment: str) -> None:
        try:
            found = self._read(endpoint)
            refuse_if_live(endpoint, deployment, _shares(found.traffic))
            with (
                changing(f"delete deployment {endpoint}/{deployment}", lambda: self._read(endpoint)),
                sent_before(self._until),
            ):
                self._client().online_deployments.begin_delete(deployment, endpoint)
        except AzureNotFound:
            return

    def score(self, endpoint: str, request: Mapping[str, Any], deployment: str | None = None) -> tuple[str | None, Any]:
        found = self._read(endpoint)
        with translated(f"read the key of {endpoint}"):
            key = self._client().online_endpoints.get_keys(endpoint)
        headers = {"Authorization": f"Bearer {getattr(key, 'primary_key', '')}"}
        if deployment:
            headers[DEPLOYMENT_HEADER] = deployment
        try:
            answer = self._http.post(str(found.scoring_uri), json=request, headers=headers)
        except httpx.TransportError as error:
            raise AzureUnavailable(f"{endpoint} did not answer: {type(error).__name__}") from error
        if answer.status_code >= 500 or answer.status_code == 429:
            raise AzureUnavailable(f"{endpoint} answered HTTP {answer.status_code}")
        if answer.is_error:
            raise AzureRefused(f"{endpoint} refused the request: HTTP {answer.status_code}: {answer.text[:200]}")
        return answer.headers.get(DEPLOYMENT_HEADER), answer.json()

    def _read(self, endpoint: str) -> OnlineEndpoint:
        with translated(f"read endpoint {endpoint}"):
            return self._client().online_endpoints.get(endpoint)


def _shares(traffic: Mapping[str, Any] | None) -> dict[str, int]:
    return {str(name): int(share) for name, share in (traffic or {}).items()}
