"""Managed online endpoints and their deployments: documents, traffic rules, keys and the output of containers."""

import secrets
from typing import Any, Final

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from anew.emulator.arm.operations import refuse_while_changing
from anew.emulator.arm.protocol import ArmCall, arm_route, user_error
from anew.emulator.base.cloud import Cloud, timestamp
from anew.emulator.base.state import Document, section
from anew.emulator.endpoints.resources import (
    KEYS_KIND,
    Deployments,
    Endpoints,
    Family,
    deployed_model,
    deployment_key,
    load_failure,
)
from anew.emulator.endpoints.traffic import check_mirror, check_traffic
from anew.emulator.machine_learning import events as ml_events

ENDPOINT_KIND: Final = "onlineEndpoint"
DEPLOYMENT_KIND: Final = "onlineDeployment"
DEFAULT_TAIL: Final = 50
ONLINE: Final = Family("onlineEndpoints", ENDPOINT_KIND, DEPLOYMENT_KIND)
endpoint_key: Final = ONLINE.endpoint_key


class OnlineEndpoints(Endpoints):
    """The online endpoint operations of one local Azure."""

    family = ONLINE

    def list_keys(self, call: ArmCall) -> Response:
        """The two keys of an endpoint; either one is accepted by a scoring request."""
        return JSONResponse(endpoint_keys(self._cloud, ONLINE.endpoint(self._cloud, call)["id"]))

    def _complete(self, endpoint: Document, call: ArmCall) -> None:
        properties: Document = endpoint["properties"]
        scoring = f"{self._cloud.base_url}/score/{endpoint['name']}"
        properties.pop("keys", None)
        endpoint["kind"] = call.body.get("kind") or "Managed"
        properties |= {
            "authMode": properties.get("authMode") or "Key",
            "traffic": _shares(section(properties, "traffic")),
            "mirrorTraffic": _shares(section(properties, "mirrorTraffic")),
            "scoringUri": scoring,
            "swaggerUri": f"{scoring}/swagger.json",
            "publicNetworkAccess": properties.get("publicNetworkAccess") or "Enabled",
        }

    def _check(self, endpoint: Document) -> None:
        names = {deployment["name"] for deployment in ONLINE.deployments(self._cloud, endpoint["id"])}
        traffic, mirror = endpoint["properties"]["traffic"], endpoint["properties"]["mirrorTraffic"]
        check_traffic(traffic, names)
        check_mirror(mirror, traffic, names)

    def _journal(self, existing: Document | None, endpoint: Document) -> None:
        after: dict[str, Any] = endpoint["properties"]
        before: dict[str, Any] = existing["properties"] if existing else {"traffic": {}, "mirrorTraffic": {}}
        if existing is None:
            self._cloud.journal("endpoint.created", name=endpoint["name"])
        for action, field in (("endpoint.traffic", "traffic"), ("endpoint.mirror", "mirrorTraffic")):
            if before[field] != after[field]:
                self._cloud.journal(action, name=endpoint["name"], traffic=after[field])


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


def routes(cloud: Cloud) -> list[Route]:
    """The routes of online endpoints and their deployments."""
    endpoints, deployments = OnlineEndpoints(cloud), OnlineDeployments(cloud)
    return [
        *endpoints.routes(),
        *deployments.routes(),
        arm_route(ONLINE.path + "/listKeys", "POST", endpoints.list_keys),
        arm_route(ONLINE.path + "/deployments/{deployment}/getLogs", "POST", deployments.logs),
    ]


def endpoint_keys(cloud: Cloud, endpoint_id: str) -> dict[str, str]:
    """The keys of an endpoint, created when a client first asks for them."""
    fresh = {"primaryKey": secrets.token_urlsafe(24), "secondaryKey": secrets.token_urlsafe(24)}
    cloud.store.create(KEYS_KIND, endpoint_id, fresh)
    return cloud.store.get(KEYS_KIND, endpoint_id) or fresh


def _shares(given: Document) -> dict[str, int]:
    try:
        return {str(name): int(share) for name, share in given.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise user_error("Traffic must be an object of deployment names and whole percentages.") from error
