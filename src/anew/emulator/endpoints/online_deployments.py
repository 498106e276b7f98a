"""Deployments of online endpoints: the model that answers, and the output of its container."""

from typing import Final

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from anew.emulator.arm.operations import refuse_while_changing
from anew.emulator.arm.protocol import ArmCall, arm_route, user_error
from anew.emulator.base.cloud import Cloud, timestamp
from anew.emulator.base.state import Document, section
from anew.emulator.endpoints.deployed_models import deployed_model, load_failure
from anew.emulator.endpoints.online_endpoints import ONLINE
from anew.emulator.endpoints.resources import Deployments, deployment_key
from anew.emulator.machine_learning import events as ml_events

DEFAULT_TAIL: Final = 50


def console(cloud: Cloud, deployment_id: str, line: str) -> None:
    """Add a line to the output of a deployment's container."""
    cloud.store.append(f"console:{deployment_id.casefold()}", {"at": timestamp(), "line": line})


class OnlineDeployments(Deployments):
    """The online deployment operations of one local Azure.

    A deployment that takes live traffic cannot be deleted; one that is deleted takes its mirrored traffic with it (both
    unverified).
    """

    family = ONLINE

    def put(self, call: ArmCall) -> Response:
        """Create or replace a deployment; it fails when nothing can be loaded from the model's path."""
        endpoint_id, name = ONLINE.endpoint(self._cloud, call)["id"], call.param("deployment")
        key = deployment_key(endpoint_id, name)
        given = section(call.body, "properties")
        model = deployed_model(self._cloud, call.workspace_id, given.get("model"))
        failure = load_failure(self._cloud, call.workspace_id, model)
        with self._cloud.store.transaction():
            refuse_while_changing(self._cloud, endpoint_id)
            existing = self._cloud.store.get(ONLINE.deployment_kind, key)
            deployment = self._document(call, endpoint_id, existing)
            deployment["kind"] = call.body.get("kind") or "Managed"
            deployment["sku"] = {"name": "Default", "capacity": 1, **section(call.body, "sku")}
            deployment["properties"] |= {
                "endpointComputeType": given.get("endpointComputeType") or "Managed",
                "scaleSettings": given.get("scaleSettings") or {"scaleType": "Default"},
                "provisioningState": "Succeeded" if failure is None else "Failed",
            }
            answer = self._settle(call, deployment, endpoint_id, created=existing is None)
        console(self._cloud, key, failure or f"model {model} is ready")
        action = "failed" if failure else "created" if existing is None else "updated"
        endpoint = call.param("endpoint")
        self._cloud.journal(f"deployment.{action}", name=name, endpoint=endpoint, model=str(model))
        if not failure:
            tags = deployment["tags"]
            event = ml_events.model_deployed(call.workspace_id, service=endpoint, model_ids=str(model), tags=tags)
            self._cloud.publish(event)
        return answer

    def logs(self, call: ArmCall) -> Response:
        """The last lines the container printed."""
        lines = self._cloud.store.list(f"console:{self._deployment(call)['id'].casefold()}")
        tail = lines[-int(call.body.get("tail") or DEFAULT_TAIL) :]
        return JSONResponse({"content": "".join(f"{line['at']} {line['line']}\n" for line in tail)})

    def _check_unused(self, endpoint: Document, deployment: str) -> None:
        if share := endpoint["properties"]["traffic"].get(deployment, 0):
            raise user_error(f"The deployment takes {share} percent of the live traffic; move it away first.")

    def _deleted(self, call: ArmCall, endpoint: Document | None) -> None:
        name = call.param("deployment")
        if endpoint:
            for field in ("traffic", "mirrorTraffic"):
                endpoint["properties"][field].pop(name, None)
            self._cloud.store.put(ONLINE.endpoint_kind, endpoint["id"], endpoint)
        self._cloud.journal("deployment.deleted", name=name, endpoint=call.param("endpoint"))


def routes(cloud: Cloud) -> list[Route]:
    """The routes of online deployments."""
    deployments = OnlineDeployments(cloud)
    logs = ONLINE.path + "/deployments/{deployment}/getLogs"
    return [*deployments.routes(), arm_route(logs, "POST", deployments.logs)]
