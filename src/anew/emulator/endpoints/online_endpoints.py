"""Managed online endpoints: the documents, their traffic rules and their keys."""

import secrets
from typing import Any, Final

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from anew.emulator.arm.protocol import ArmCall, arm_route, user_error
from anew.emulator.base.cloud import Cloud
from anew.emulator.base.state import Document, section
from anew.emulator.endpoints.resources import Endpoints, Family
from anew.emulator.endpoints.traffic import TrafficError, check_mirror, check_traffic

ENDPOINT_KIND: Final = "onlineEndpoint"
DEPLOYMENT_KIND: Final = "onlineDeployment"
KEYS_KIND: Final = "onlineEndpoint.keys"
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
        for action, field in (("endpoint.traffic", "traffic"), ("endpoint.mirror", "mirrorTraffic")):
            if before[field] != after[field]:
                self._cloud.journal(action, name=endpoint["name"], traffic=after[field])

    def _deleted(self, call: ArmCall, key: str) -> None:
        self._cloud.store.delete(KEYS_KIND, key)
        self._cloud.journal("endpoint.deleted", name=call.param("endpoint"))


def routes(cloud: Cloud) -> list[Route]:
    """The routes of online endpoints."""
    endpoints = OnlineEndpoints(cloud)
    return [*endpoints.routes(), arm_route(ONLINE.path + "/listKeys", "POST", endpoints.list_keys)]


def endpoint_keys(cloud: Cloud, endpoint_id: str) -> dict[str, str]:
    """The keys of an endpoint, which are made when a client first asks for them."""
    fresh = {"primaryKey": secrets.token_urlsafe(24), "secondaryKey": secrets.token_urlsafe(24)}
    cloud.store.create(KEYS_KIND, endpoint_id, fresh)
    return cloud.store.get(KEYS_KIND, endpoint_id) or fresh


def _shares(given: Document) -> dict[str, int]:
    try:
        return {str(name): int(share) for name, share in given.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise user_error("Traffic must be an object of deployment names and whole percentages.") from error
