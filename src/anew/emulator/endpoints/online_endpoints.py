"""Managed online endpoints: the documents, their traffic rules and their keys."""

import secrets
from typing import Any, Final

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from anew.emulator.arm.operations import operation_seconds, refuse_while_changing, settle, settle_empty, shown
from anew.emulator.arm.protocol import WORKSPACE_PATH, ArmCall, arm_route, list_page, not_found, user_error
from anew.emulator.base.cloud import Cloud
from anew.emulator.base.state import Document, section
from anew.emulator.endpoints.traffic import TrafficError, check_mirror, check_traffic
from anew.emulator.machine_learning.runs import system_data

ENDPOINT_KIND: Final = "onlineEndpoint"
DEPLOYMENT_KIND: Final = "onlineDeployment"
KEYS_KIND: Final = "onlineEndpoint.keys"
ENDPOINTS_PATH: Final = WORKSPACE_PATH + "/onlineEndpoints"
ENDPOINT_PATH: Final = ENDPOINTS_PATH + "/{endpoint}"


def endpoint_key(workspace_id: str, endpoint: str) -> str:
    """The ARM id of an endpoint: the key of its document."""
    return f"{workspace_id}/onlineEndpoints/{endpoint}"


def deployments_of(cloud: Cloud, endpoint_id: str) -> list[Document]:
    """The deployments of an endpoint, oldest first."""
    return cloud.store.list(DEPLOYMENT_KIND, f"{endpoint_id}/deployments/")


class OnlineEndpoints:
    """The online endpoint operations of one local Azure."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def put(self, call: ArmCall) -> Response:
        """Create an endpoint or replace its traffic, tags and description."""
        key = endpoint_key(call.workspace_id, call.param("endpoint"))
        with self._cloud.store.transaction():
            existing = self._cloud.store.get(ENDPOINT_KIND, key)
            endpoint = self._document(call, key, existing)
            refuse_while_changing(self._cloud, key)
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
        return JSONResponse(shown(self._endpoint(call)))

    def list(self, call: ArmCall) -> Response:
        """The endpoints of the workspace."""
        found = self._cloud.store.list(ENDPOINT_KIND, f"{call.workspace_id}/onlineEndpoints/")
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
            self._cloud.store.delete(KEYS_KIND, key)
        self._cloud.journal("endpoint.deleted", name=call.param("endpoint"))
        return settle_empty(self._cloud, call, key)

    def list_keys(self, call: ArmCall) -> Response:
        """The two keys of an endpoint, either of which scores."""
        return JSONResponse(endpoint_keys(self._cloud, self._endpoint(call)["id"]))

    def _endpoint(self, call: ArmCall) -> Document:
        key = endpoint_key(call.workspace_id, call.param("endpoint"))
        endpoint = self._cloud.store.get(ENDPOINT_KIND, key)
        if endpoint is None:
            raise not_found(key)
        return endpoint

    def _document(self, call: ArmCall, key: str, existing: Document | None) -> Document:
        given = section(call.body, "properties")
        scoring = f"{self._cloud.base_url}/score/{call.param('endpoint')}"
        return {
            "id": key,
            "name": call.param("endpoint"),
            "type": "Microsoft.MachineLearningServices/workspaces/onlineEndpoints",
            "location": call.body.get("location") or "local",
            "tags": section(call.body, "tags"),
            "kind": call.body.get("kind") or "Managed",
            "identity": {"type": "SystemAssigned"},
            "properties": {
                **{name: value for name, value in given.items() if name != "keys"},
                "authMode": given.get("authMode") or "Key",
                "properties": section(given, "properties"),
                "traffic": _shares(section(given, "traffic")),
                "mirrorTraffic": _shares(section(given, "mirrorTraffic")),
                "scoringUri": scoring,
                "swaggerUri": f"{scoring}/swagger.json",
                "publicNetworkAccess": given.get("publicNetworkAccess") or "Enabled",
                "provisioningState": "Succeeded",
            },
            "systemData": system_data(existing["systemData"]["createdAt"] if existing else None),
        }

    def _check(self, endpoint: Document) -> None:
        names = {deployment["name"] for deployment in deployments_of(self._cloud, endpoint["id"])}
        traffic, mirror = endpoint["properties"]["traffic"], endpoint["properties"]["mirrorTraffic"]
        try:
            check_traffic(traffic, names)
            check_mirror(mirror, traffic, names)
        except TrafficError as error:
            raise user_error(str(error)) from error

    def _journal(self, existing: Document | None, endpoint: Document) -> None:
        after: dict[str, Any] = endpoint["properties"]
        before: dict[str, Any] = existing["properties"] if existing else {"traffic": {}, "mirrorTraffic": {}}
        if existing is None:
            self._cloud.journal("endpoint.created", name=endpoint["name"])
        if before["traffic"] != after["traffic"]:
            self._cloud.journal("endpoint.traffic", name=endpoint["name"], traffic=after["traffic"])
        if before["mirrorTraffic"] != after["mirrorTraffic"]:
            self._cloud.journal("endpoint.mirror", name=endpoint["name"], traffic=after["mirrorTraffic"])


def routes(cloud: Cloud) -> list[Route]:
    """The routes of online endpoints."""
    endpoints = OnlineEndpoints(cloud)
    return [
        arm_route(ENDPOINTS_PATH, "GET", endpoints.list),
        arm_route(ENDPOINT_PATH, "PUT", endpoints.put),
        arm_route(ENDPOINT_PATH, "GET", endpoints.get),
        arm_route(ENDPOINT_PATH, "DELETE", endpoints.delete),
        arm_route(ENDPOINT_PATH + "/listKeys", "POST", endpoints.list_keys),
    ]


def endpoint_keys(cloud: Cloud, endpoint_id: str) -> dict[str, str]:
    """The keys of an endpoint, made when first asked for."""
    fresh = {"primaryKey": secrets.token_urlsafe(24), "secondaryKey": secrets.token_urlsafe(24)}
    cloud.store.create(KEYS_KIND, endpoint_id, fresh)
    return cloud.store.get(KEYS_KIND, endpoint_id) or fresh


def _shares(given: Document) -> dict[str, int]:
    try:
        return {str(name): int(share) for name, share in given.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise user_error("Traffic must be an object of deployment names and whole percentages.") from error
