"""Batch endpoints: the documents, whose default deployment takes every job. Jobs on them are not run."""

from typing import Any, Final

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from anew.emulator.arm.operations import operation_seconds, refuse_while_changing, settle, settle_empty, shown
from anew.emulator.arm.protocol import WORKSPACE_PATH, ArmCall, arm_route, list_page, not_found, user_error
from anew.emulator.base.cloud import Cloud
from anew.emulator.base.state import Document, section
from anew.emulator.machine_learning.runs import system_data

ENDPOINT_KIND: Final = "batchEndpoint"
DEPLOYMENT_KIND: Final = "batchDeployment"
ENDPOINTS_PATH: Final = WORKSPACE_PATH + "/batchEndpoints"
ENDPOINT_PATH: Final = ENDPOINTS_PATH + "/{endpoint}"


def endpoint_key(workspace_id: str, endpoint: str) -> str:
    """The ARM id of an endpoint: the key of its document."""
    return f"{workspace_id}/batchEndpoints/{endpoint}"


def deployments_of(cloud: Cloud, endpoint_id: str) -> list[Document]:
    """The deployments of an endpoint, oldest first."""
    return cloud.store.list(DEPLOYMENT_KIND, f"{endpoint_id}/deployments/")


def default_deployment(endpoint: Document) -> str | None:
    """The deployment that takes the jobs, if there is one."""
    name: str | None = section(endpoint["properties"], "defaults").get("deploymentName")
    return name


class BatchEndpoints:
    """The batch endpoint operations of one local Azure."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def put(self, call: ArmCall) -> Response:
        """Create an endpoint or replace its default deployment, tags and description."""
        key = endpoint_key(call.workspace_id, call.param("endpoint"))
        with self._cloud.store.transaction():
            refuse_while_changing(self._cloud, key)
            existing = self._cloud.store.get(ENDPOINT_KIND, key)
            endpoint = self._document(call, key, existing)
            self._check(endpoint)
            answer = settle(
                self._cloud,
                call,
                ENDPOINT_KIND,
                endpoint,
                endpoint_id=key,
                created=existing is None,
                seconds=operation_seconds(self._cloud),
            )
        self._journal(existing, endpoint)
        return answer

    def get(self, call: ArmCall) -> Response:
        """One endpoint."""
        key = endpoint_key(call.workspace_id, call.param("endpoint"))
        endpoint = self._cloud.store.get(ENDPOINT_KIND, key)
        if endpoint is None:
            raise not_found(key)
        return JSONResponse(shown(endpoint))

    def list(self, call: ArmCall) -> Response:
        """The endpoints of the workspace."""
        found = self._cloud.store.list(ENDPOINT_KIND, f"{call.workspace_id}/batchEndpoints/")
        return list_page(self._cloud, call, [shown(endpoint) for endpoint in found])

    def delete(self, call: ArmCall) -> Response:
        """Delete an endpoint with its deployments; 204 when there is none."""
        key = endpoint_key(call.workspace_id, call.param("endpoint"))
        with self._cloud.store.transaction():
            refuse_while_changing(self._cloud, key)
            if not self._cloud.store.delete(ENDPOINT_KIND, key):
                return Response(status_code=204)
            for deployment in deployments_of(self._cloud, key):
                self._cloud.store.delete(DEPLOYMENT_KIND, deployment["id"])
        self._cloud.journal("batch_endpoint.deleted", name=call.param("endpoint"))
        return settle_empty(self._cloud, call, key)

    def _document(self, call: ArmCall, key: str, existing: Document | None) -> Document:
        given = section(call.body, "properties")
        jobs = f"{self._cloud.base_url}/batch/{call.param('endpoint')}/jobs"
        return {
            "id": key,
            "name": call.param("endpoint"),
            "type": "Microsoft.MachineLearningServices/workspaces/batchEndpoints",
            "location": call.body.get("location") or "local",
            "tags": section(call.body, "tags"),
            "identity": {"type": "SystemAssigned"},
            "properties": {
                **given,
                "authMode": given.get("authMode") or "AADToken",
                "defaults": section(given, "defaults"),
                "properties": section(given, "properties"),
                "scoringUri": jobs,
                "swaggerUri": f"{jobs}/swagger.json",
                "provisioningState": "Succeeded",
            },
            "systemData": system_data(existing["systemData"]["createdAt"] if existing else None),
        }

    def _check(self, endpoint: Document) -> None:
        name = default_deployment(endpoint)
        if name and name not in {deployment["name"] for deployment in deployments_of(self._cloud, endpoint["id"])}:
            raise user_error(f"The default deployment {name} does not exist.")

    def _journal(self, existing: Document | None, endpoint: Document) -> None:
        name: Any = endpoint["name"]
        if existing is None:
            self._cloud.journal("batch_endpoint.created", name=name)
        default = default_deployment(endpoint)
        if default != (default_deployment(existing) if existing else None):
            self._cloud.journal("batch_endpoint.default", name=name, deployment=default)


def routes(cloud: Cloud) -> list[Route]:
    """The routes of batch endpoints."""
    endpoints = BatchEndpoints(cloud)
    return [
        arm_route(ENDPOINTS_PATH, "GET", endpoints.list),
        arm_route(ENDPOINT_PATH, "PUT", endpoints.put),
        arm_route(ENDPOINT_PATH, "GET", endpoints.get),
        arm_route(ENDPOINT_PATH, "DELETE", endpoints.delete),
    ]
