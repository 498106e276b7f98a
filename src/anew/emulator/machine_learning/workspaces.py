"""Workspaces, all of which exist, and the discovery document that gives the SDK the addresses of its services."""

from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from anew.emulator.arm.protocol import WORKSPACE_PATH, ArmCall, arm_route
from anew.emulator.base.cloud import Cloud
from anew.emulator.base.state import Document
from anew.emulator.machine_learning.events import stable_id
from anew.emulator.machine_learning.runs import system_data

LOCATION: Final = "local"


def workspace(cloud: Cloud, workspace_id: str) -> Document:
    """The ARM document of a workspace."""
    name = workspace_id.rsplit("/", 1)[-1]
    provider = workspace_id.partition("/providers/")[0] + "/providers"
    return {
        "id": workspace_id,
        "name": name,
        "type": "Microsoft.MachineLearningServices/workspaces",
        "location": LOCATION,
        "kind": "Default",
        "sku": {"name": "Basic", "tier": "Basic"},
        "identity": {"type": "SystemAssigned"},
        "tags": {},
        "properties": {
            "friendlyName": name,
            "workspaceId": stable_id(workspace_id),
            "provisioningState": "Succeeded",
            "discoveryUrl": f"{cloud.base_url}/discovery",
            "mlFlowTrackingUri": f"azureml://{urlsplit(cloud.base_url).netloc}/mlflow/v1.0{workspace_id}",
            "publicNetworkAccess": "Enabled",
            "storageAccount": f"{provider}/Microsoft.Storage/storageAccounts/local",
            "keyVault": f"{provider}/Microsoft.KeyVault/vaults/local",
            "applicationInsights": f"{provider}/Microsoft.Insights/components/local",
        },
        "systemData": system_data(),
    }


def routes(cloud: Cloud) -> list[Route]:
    """Workspace and discovery."""

    def get(call: ArmCall) -> Response:
        return JSONResponse(workspace(cloud, call.workspace_id))

    async def discovery(_: Request) -> Response:
        services = ("api", "history", "experimentation", "modelmanagement", "mlflow")
        return JSONResponse(dict.fromkeys(services, cloud.base_url))

    return [arm_route(WORKSPACE_PATH, "GET", get), Route("/discovery", discovery)]
