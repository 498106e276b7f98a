"""The address of a workspace's MLflow API, and the token for it."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import httpx
from azure.ai.ml import MLClient
from azure.core import AzureClouds
from azure.mgmt.core.tools import get_arm_endpoints

from anew.adapters.azure.errors import translated
from anew.adapters.azure.machine_learning.mlflow_rest import MlflowApi, api_url
from anew.errors import AzureRefused

_CLOUDS = {
    "AzureCloud": AzureClouds.AZURE_PUBLIC_CLOUD,
    "AzureChinaCloud": AzureClouds.AZURE_CHINA_CLOUD,
    "AzureUSGovernment": AzureClouds.AZURE_US_GOVERNMENT,
}


class MlflowTracking:
    """The MLflow API of the workspace of a client.

    `http` creates an HTTP client, which is closed after each use; `cloud` is the name of the cloud in the settings.
    """

    def __init__(
        self,
        client: Callable[[], MLClient],
        credential: Any,
        http: Callable[[], httpx.Client] = lambda: httpx.Client(timeout=30),
        *,
        cloud: str = "AzureCloud",
    ) -> None:
        self._client = client
        self._credential = credential
        self._http = http
        self._cloud = cloud
        self._url: str | None = None

    @contextmanager
    def api(self) -> Generator[MlflowApi]:
        """The API for as long as the block lasts. Raises AzureUnavailable and AzureRefused."""
        with self._http() as http:
            yield MlflowApi(self._address(), self._token(), http)

    def _address(self) -> str:
        if self._url is None:
            with translated("read the workspace"):
                client = self._client()
                workspace = client.workspaces.get(client.workspace_name)
            uri = workspace.mlflow_tracking_uri if workspace else None
            if not uri:
                raise AzureRefused("the workspace has no MLflow tracking address, so its metrics cannot be read")
            self._url = api_url(uri)
        return self._url

    def _token(self) -> str:
        with translated("get a token for MLflow"):
            return str(self._credential.get_token(management_scope(self._cloud)).token)


def management_scope(cloud: str) -> str:
    """The scope of MLflow tokens: that of Resource Manager, not of ml.azure.com.

    azureml-mlflow (`_get_default_scope`: the cloud's resource manager endpoint) and azure-ai-evaluation
    (`EvalRun._SCOPE`, Azure/azure-sdk-for-python) do the same. Raises AzureRefused for an unknown cloud.
    """
    known = _CLOUDS.get(cloud)
    if known is None:
        raise AzureRefused(
            f"MLflow: the endpoints of the cloud {cloud} are not known",
            advice=f"Set azure.cloud to one of {', '.join(_CLOUDS)}",
        )
    return str(get_arm_endpoints(known)["credential_scopes"][0])
