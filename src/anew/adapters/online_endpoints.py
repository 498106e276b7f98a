"""Managed online endpoints through azure-ai-ml; scoring through httpx.

The SDK's own `invoke(deployment_name=...)` keeps its routing header in a shared dict and sends it with later
calls too, so requests are sent here directly.
"""

from collections.abc import Callable, Mapping
from typing import Any

import httpx
from azure.ai.ml import MLClient
from azure.ai.ml.entities import CodeConfiguration, ManagedOnlineDeployment, ManagedOnlineEndpoint

from anew.adapters.azure_errors import translated
from anew.core.policy import Deploy
from anew.core.tags import model_of_reference
from anew.engine.ports import DeploymentState, EndpointView, ModelVersion
from anew.errors import AzureNotFound, AzureRefused, AzureUnavailable

DEPLOYMENT_HEADER = "azureml-model-deployment"

_STATE: Mapping[str, DeploymentState] = {
    "succeeded": DeploymentState.READY,
    "failed": DeploymentState.FAILED,
    "canceled": DeploymentState.FAILED,
}


class OnlineEndpoints:
    """Implements Endpoints."""

    def __init__(self, client: Callable[[], MLClient], http: httpx.Client | None = None) -> None:
        self._client = client
        self._http = http or httpx.Client(timeout=30)

    def view(self, endpoint: str) -> EndpointView | None:
        try:
            with translated(f"read endpoint {endpoint}"):
                found = self._client().online_endpoints.get(endpoint)
                deployments = list(self._client().online_deployments.list(endpoint))
        except AzureNotFound:
            return None
        traffic = {name: int(share) for name, share in (found.traffic or {}).items()}
        models = {str(item.name): model_of_reference(str(item.model or "")) for item in deployments}
        return EndpointView(endpoint, traffic, models)

    def ensure(self, endpoint: str) -> None:
        if self.view(endpoint) is None:
            with translated(f"create endpoint {endpoint}"):
                entity = ManagedOnlineEndpoint(name=endpoint, auth_mode="key")
                self._client().online_endpoints.begin_create_or_update(entity).result()

    def create_deployment(self, endpoint: str, deployment: str, model: ModelVersion, rule: Deploy) -> None:
        scoring = (
            CodeConfiguration(code=rule.code, scoring_script=rule.scoring_script)
            if rule.code and rule.scoring_script
            else None
        )
        entity = ManagedOnlineDeployment(
            name=deployment,
            endpoint_name=endpoint,
            model=f"azureml:{model.model}:{model.version}",
            environment=rule.environment,
            code_configuration=scoring,
            instance_type=rule.instance_type,
            instance_count=rule.instance_count,
        )
        with translated(f"create deployment {endpoint}/{deployment}"):
            # The poller is left alone: creating takes minutes, and the next tick looks at the state.
            self._client().online_deployments.begin_create_or_update(entity)

    def deployment_state(self, endpoint: str, deployment: str) -> DeploymentState:
        try:
            with translated(f"read deployment {endpoint}/{deployment}"):
                found = self._client().online_deployments.get(deployment, endpoint)
        except AzureNotFound:
            return DeploymentState.ABSENT
        # The SDK gives an enum whose str() is its own name, or a plain string.
        state = getattr(found.provisioning_state, "value", found.provisioning_state)
        return _STATE.get(str(state or "").casefold(), DeploymentState.CREATING)

    def set_traffic(self, endpoint: str, traffic: Mapping[str, int]) -> None:
        with translated(f"shift traffic of {endpoint}"):
            entity = self._client().online_endpoints.get(endpoint)
            entity.traffic = dict(traffic)
            self._client().online_endpoints.begin_create_or_update(entity).result()
        seen = self.view(endpoint)
        wanted = {name: share for name, share in traffic.items() if share}
        if seen is None or {name: share for name, share in seen.traffic.items() if share} != wanted:
            raise AzureUnavailable(
                f"{endpoint} does not show the traffic just written; somebody else may have moved it"
            )

    def delete_deployment(self, endpoint: str, deployment: str) -> None:
        with translated(f"delete deployment {endpoint}/{deployment}"):
            self._client().online_deployments.begin_delete(deployment, endpoint)

    def score(self, endpoint: str, request: Mapping[str, Any], deployment: str | None = None) -> tuple[str | None, Any]:
        with translated(f"read endpoint {endpoint}"):
            found = self._client().online_endpoints.get(endpoint)
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
