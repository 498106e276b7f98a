"""Deployments of batch endpoints. Only jobs load their model, so one that cannot be loaded is deployed all the same."""

from typing import Final

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from anew.emulator.arm.operations import deployment_seconds, refuse_while_changing, settle, settle_empty, shown
from anew.emulator.arm.protocol import ArmCall, arm_route, list_page, not_found, user_error
from anew.emulator.base.cloud import Cloud
from anew.emulator.base.state import Document, section
from anew.emulator.endpoints.batch_endpoints import (
    DEPLOYMENT_KIND,
    ENDPOINT_KIND,
    ENDPOINT_PATH,
    default_deployment,
    deployments_of,
    endpoint_key,
)
from anew.emulator.endpoints.deployed_models import deployed_model
from anew.emulator.machine_learning.runs import system_data

DEPLOYMENTS_PATH: Final = ENDPOINT_PATH + "/deployments"
DEPLOYMENT_PATH: Final = DEPLOYMENTS_PATH + "/{deployment}"


class BatchDeployments:
    """The batch deployment operations of one local Azure."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def put(self, call: ArmCall) -> Response:
        """Create or replace a deployment."""
        endpoint_id = self._endpoint(call)["id"]
        reference = section(section(call.body, "properties"), "model").get("assetId")
        model = deployed_model(self._cloud, call.workspace_id, reference)
        key = f"{endpoint_id}/deployments/{call.param('deployment')}"
        with self._cloud.store.transaction():
            refuse_while_changing(self._cloud, endpoint_id)
            existing = self._cloud.store.get(DEPLOYMENT_KIND, key)
            answer = settle(
                self._cloud,
                call,
                DEPLOYMENT_KIND,
                _document(call, key, existing),
                endpoint_id=endpoint_id,
                created=existing is None,
                seconds=deployment_seconds(self._cloud),
            )
        action = "batch_deployment.created" if existing is None else "batch_deployment.updated"
        self._cloud.journal(action, name=call.param("deployment"), endpoint=call.param("endpoint"), model=str(model))
        return answer

    def get(self, call: ArmCall) -> Response:
        """One deployment."""
        key = f"{self._endpoint(call)['id']}/deployments/{call.param('deployment')}"
        deployment = self._cloud.store.get(DEPLOYMENT_KIND, key)
        if deployment is None:
            raise not_found(key)
        return JSONResponse(shown(deployment))

    def list(self, call: ArmCall) -> Response:
        """The deployments of an endpoint."""
        found = deployments_of(self._cloud, self._endpoint(call)["id"])
        return list_page(self._cloud, call, [shown(deployment) for deployment in found])

    def delete(self, call: ArmCall) -> Response:
        """Delete a deployment; refused while it is the default one (unverified)."""
        endpoint_id, name = endpoint_key(call.workspace_id, call.param("endpoint")), call.param("deployment")
        with self._cloud.store.transaction():
            refuse_while_changing(self._cloud, endpoint_id)
            endpoint = self._cloud.store.get(ENDPOINT_KIND, endpoint_id)
            if endpoint and default_deployment(endpoint) == name:
                raise user_error("The deployment is the default one of its endpoint; name another one first.")
            if not self._cloud.store.delete(DEPLOYMENT_KIND, f"{endpoint_id}/deployments/{name}"):
                return Response(status_code=204)
        self._cloud.journal("batch_deployment.deleted", name=name, endpoint=call.param("endpoint"))
        return settle_empty(self._cloud, call, endpoint_id)

    def _endpoint(self, call: ArmCall) -> Document:
        key = endpoint_key(call.workspace_id, call.param("endpoint"))
        endpoint = self._cloud.store.get(ENDPOINT_KIND, key)
        if endpoint is None:
            raise not_found(key)
        return endpoint


def routes(cloud: Cloud) -> list[Route]:
    """The routes of batch deployments."""
    deployments = BatchDeployments(cloud)
    return [
        arm_route(DEPLOYMENTS_PATH, "GET", deployments.list),
        arm_route(DEPLOYMENT_PATH, "PUT", deployments.put),
        arm_route(DEPLOYMENT_PATH, "GET", deployments.get),
        arm_route(DEPLOYMENT_PATH, "DELETE", deployments.delete),
    ]


def _document(call: ArmCall, key: str, existing: Document | None) -> Document:
    given = section(call.body, "properties")
    return {
        "id": key,
        "name": call.param("deployment"),
        "type": "Microsoft.MachineLearningServices/workspaces/batchEndpoints/deployments",
        "location": call.body.get("location") or "local",
        "tags": section(call.body, "tags"),
        "properties": {
            **given,
            "properties": section(given, "properties"),
            "provisioningState": "Succeeded",
        },
        "systemData": system_data(existing["systemData"]["createdAt"] if existing else None),
    }
