"""Deployments of online endpoints: which model answers, and what its container says."""

from typing import Final

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from anew.emulator.arm.operations import deployment_seconds, refuse_while_changing, settle, settle_empty, shown
from anew.emulator.arm.protocol import ArmCall, arm_route, list_page, not_found, user_error
from anew.emulator.base.cloud import Cloud, timestamp
from anew.emulator.base.state import Document, section
from anew.emulator.base.uris import VersionedName
from anew.emulator.endpoints.deployed_models import deployed_model, load_failure
from anew.emulator.endpoints.online_endpoints import (
    DEPLOYMENT_KIND,
    ENDPOINT_KIND,
    ENDPOINT_PATH,
    deployments_of,
    endpoint_key,
)
from anew.emulator.machine_learning import events as ml_events
from anew.emulator.machine_learning.runs import system_data

DEPLOYMENTS_PATH: Final = ENDPOINT_PATH + "/deployments"
DEPLOYMENT_PATH: Final = DEPLOYMENTS_PATH + "/{deployment}"
DEFAULT_TAIL: Final = 50


def deployment_key(endpoint_id: str, deployment: str) -> str:
    """The ARM id of a deployment: the key of its document."""
    return f"{endpoint_id}/deployments/{deployment}"


def console(cloud: Cloud, deployment_id: str, line: str) -> None:
    """Add a line to what a deployment's container printed."""
    cloud.store.append(f"console:{deployment_id.casefold()}", {"at": timestamp(), "line": line})


class OnlineDeployments:
    """The online deployment operations of one local Azure."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def put(self, call: ArmCall) -> Response:
        """Create or replace a deployment; it fails when nothing can be loaded from the model's path."""
        endpoint_id = self._endpoint_id(call)
        key = deployment_key(endpoint_id, call.param("deployment"))
        model = deployed_model(self._cloud, call.workspace_id, section(call.body, "properties").get("model"))
        failure = load_failure(self._cloud, call.workspace_id, model)
        with self._cloud.store.transaction():
            refuse_while_changing(self._cloud, endpoint_id)
            existing = self._cloud.store.get(DEPLOYMENT_KIND, key)
            deployment = _document(call, key, existing)
            if failure is not None:
                deployment["properties"]["provisioningState"] = "Failed"
            answer = settle(
                self._cloud,
                call,
                DEPLOYMENT_KIND,
                deployment,
                endpoint_id=endpoint_id,
                created=existing is None,
                seconds=deployment_seconds(self._cloud),
            )
        console(self._cloud, key, failure or f"model {model} is ready")
        self._announce(call, deployment, model, created=existing is None, failed=failure is not None)
        return answer

    def get(self, call: ArmCall) -> Response:
        """One deployment."""
        return JSONResponse(shown(self._deployment(call)))

    def list(self, call: ArmCall) -> Response:
        """The deployments of an endpoint."""
        found = deployments_of(self._cloud, self._endpoint_id(call))
        return list_page(self._cloud, call, [shown(deployment) for deployment in found])

    def delete(self, call: ArmCall) -> Response:
        """Delete a deployment, with its mirrored traffic; refused while it takes live traffic (both unverified)."""
        endpoint_id = endpoint_key(call.workspace_id, call.param("endpoint"))
        with self._cloud.store.transaction():
            refuse_while_changing(self._cloud, endpoint_id)
            endpoint = self._cloud.store.get(ENDPOINT_KIND, endpoint_id)
            share = endpoint["properties"]["traffic"].get(call.param("deployment"), 0) if endpoint else 0
            if share:
                raise user_error(f"The deployment takes {share} percent of the live traffic; move it away first.")
            if not self._cloud.store.delete(DEPLOYMENT_KIND, deployment_key(endpoint_id, call.param("deployment"))):
                return Response(status_code=204)
            if endpoint:
                self._cloud.store.put(ENDPOINT_KIND, endpoint_id, _without(endpoint, call.param("deployment")))
        self._cloud.journal("deployment.deleted", name=call.param("deployment"), endpoint=call.param("endpoint"))
        return settle_empty(self._cloud, call, endpoint_id)

    def logs(self, call: ArmCall) -> Response:
        """The last lines the container printed."""
        lines = self._cloud.store.list(f"console:{self._deployment(call)['id'].casefold()}")
        tail = lines[-int(call.body.get("tail") or DEFAULT_TAIL) :]
        return JSONResponse({"content": "".join(f"{line['at']} {line['line']}\n" for line in tail)})

    def _endpoint_id(self, call: ArmCall) -> str:
        key = endpoint_key(call.workspace_id, call.param("endpoint"))
        endpoint = self._cloud.store.get(ENDPOINT_KIND, key)
        if endpoint is None:
            raise not_found(key)
        return endpoint["id"]

    def _deployment(self, call: ArmCall) -> Document:
        key = deployment_key(self._endpoint_id(call), call.param("deployment"))
        deployment = self._cloud.store.get(DEPLOYMENT_KIND, key)
        if deployment is None:
            raise not_found(key)
        return deployment

    def _announce(
        self, call: ArmCall, deployment: Document, model: VersionedName, *, created: bool, failed: bool
    ) -> None:
        action = "deployment.failed" if failed else "deployment.created" if created else "deployment.updated"
        endpoint = call.param("endpoint")
        self._cloud.journal(action, name=deployment["name"], endpoint=endpoint, model=str(model))
        if not failed:
            event = ml_events.model_deployed(
                call.workspace_id, service=endpoint, model_ids=str(model), tags=deployment["tags"]
            )
            self._cloud.publish(event)


def routes(cloud: Cloud) -> list[Route]:
    """The routes of online deployments."""
    deployments = OnlineDeployments(cloud)
    return [
        arm_route(DEPLOYMENTS_PATH, "GET", deployments.list),
        arm_route(DEPLOYMENT_PATH, "PUT", deployments.put),
        arm_route(DEPLOYMENT_PATH, "GET", deployments.get),
        arm_route(DEPLOYMENT_PATH, "DELETE", deployments.delete),
        arm_route(DEPLOYMENT_PATH + "/getLogs", "POST", deployments.logs),
    ]


def _without(endpoint: Document, deployment: str) -> Document:
    """The endpoint, whose traffic names this deployment no more."""
    properties = dict(endpoint["properties"])
    for name in ("traffic", "mirrorTraffic"):
        properties[name] = {key: share for key, share in properties[name].items() if key != deployment}
    return {**endpoint, "properties": properties}


def _document(call: ArmCall, key: str, existing: Document | None) -> Document:
    given = section(call.body, "properties")
    return {
        "id": key,
        "name": call.param("deployment"),
        "type": "Microsoft.MachineLearningServices/workspaces/onlineEndpoints/deployments",
        "location": call.body.get("location") or "local",
        "kind": call.body.get("kind") or "Managed",
        "tags": section(call.body, "tags"),
        "sku": {"name": "Default", "capacity": 1, **section(call.body, "sku")},
        "properties": {
            **given,
            "endpointComputeType": given.get("endpointComputeType") or "Managed",
            "scaleSettings": given.get("scaleSettings") or {"scaleType": "Default"},
            "properties": section(given, "properties"),
            "provisioningState": "Succeeded",
        },
        "systemData": system_data(existing["systemData"]["createdAt"] if existing else None),
    }
