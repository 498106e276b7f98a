"""The common part of online and batch endpoints: the requests that read, write and delete their documents."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from anew.emulator.arm.operations import (
    deployment_seconds,
    operation_seconds,
    refuse_while_changing,
    settle,
    settle_empty,
    shown,
)
from anew.emulator.arm.protocol import WORKSPACE_PATH, ArmCall, ArmError, arm_route, list_page, stored, user_error
from anew.emulator.base.cloud import Cloud
from anew.emulator.base.state import Document, section
from anew.emulator.base.uris import VersionedName, parse_versioned
from anew.emulator.machine_learning.assets import MODEL_KIND, AssetError, local_path, model_key
from anew.emulator.machine_learning.runs import system_data

KEYS_KIND: Final = "onlineEndpoint.keys"


@dataclass(frozen=True)
class Family:
    """One of the two families of endpoints: the folder of their ids, the kinds of their documents in the store, and how
    the names of their effects in the journal begin.
    """

    folder: str
    endpoint_kind: str
    deployment_kind: str
    effects: str = ""

    @property
    def path(self) -> str:
        """The route of one endpoint."""
        return f"{WORKSPACE_PATH}/{self.folder}/{{endpoint}}"

    def endpoint_key(self, workspace_id: str, endpoint: str) -> str:
        """The ARM id of an endpoint: the key of its document."""
        return f"{workspace_id}/{self.folder}/{endpoint}"

    def endpoint(self, cloud: Cloud, call: ArmCall) -> Document:
        """The endpoint that a request names; raises ArmError (404) when it does not exist."""
        return stored(cloud, self.endpoint_kind, self.endpoint_key(call.workspace_id, call.param("endpoint")))

    def deployments(self, cloud: Cloud, endpoint_id: str) -> list[Document]:
        """The deployments of an endpoint, oldest first."""
        return cloud.store.list(self.deployment_kind, f"{endpoint_id}/deployments/")


def deployment_key(endpoint_id: str, deployment: str) -> str:
    """The ARM id of a deployment: the key of its document."""
    return f"{endpoint_id}/deployments/{deployment}"


class Endpoints(ABC):
    """The operations on the endpoints of one family in one local Azure."""

    family: ClassVar[Family]

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def put(self, call: ArmCall) -> Response:
        """Create an endpoint, or replace it."""
        key = self.family.endpoint_key(call.workspace_id, call.param("endpoint"))
        with self._cloud.store.transaction():
            existing = self._cloud.store.get(self.family.endpoint_kind, key)
            endpoint = document(call, key, f"workspaces/{self.family.folder}", existing)
            endpoint["identity"] = {"type": "SystemAssigned"}
            self._complete(endpoint, call)
            refuse_while_changing(self._cloud, key)
            self._check(endpoint)
            seconds = operation_seconds(self._cloud)
            kind, created = self.family.endpoint_kind, existing is None
            answer = settle(self._cloud, call, kind, endpoint, endpoint_id=key, created=created, seconds=seconds)
            self._journal(existing, endpoint)
        return answer

    def get(self, call: ArmCall) -> Response:
        """One endpoint."""
        return JSONResponse(shown(self.family.endpoint(self._cloud, call)))

    def list(self, call: ArmCall) -> Response:
        """The endpoints of the workspace."""
        found = self._cloud.store.list(self.family.endpoint_kind, self.family.endpoint_key(call.workspace_id, ""))
        return list_page(self._cloud, call, [shown(endpoint) for endpoint in found])

    def delete(self, call: ArmCall) -> Response:
        """Delete an endpoint with its deployments; 204 when there is none."""
        key = self.family.endpoint_key(call.workspace_id, call.param("endpoint"))
        with self._cloud.store.transaction():
            refuse_while_changing(self._cloud, key)
            if not self._cloud.store.delete(self.family.endpoint_kind, key):
                return Response(status_code=204)
            for deployment in self.family.deployments(self._cloud, key):
                self._cloud.store.delete(self.family.deployment_kind, deployment["id"])
            # Only online endpoints have keys.
            self._cloud.store.delete(KEYS_KIND, key)
        self._cloud.journal(f"{self.family.effects}endpoint.deleted", name=call.param("endpoint"))
        return settle_empty(self._cloud, call, key)

    def routes(self) -> Sequence[Route]:
        """The routes that both families have."""
        return [
            arm_route(f"{WORKSPACE_PATH}/{self.family.folder}", "GET", self.list),
            arm_route(self.family.path, "PUT", self.put),
            arm_route(self.family.path, "GET", self.get),
            arm_route(self.family.path, "DELETE", self.delete),
        ]

    @abstractmethod
    def _complete(self, endpoint: Document, call: ArmCall) -> None:
        """Add the fields of this family to the document of a request."""

    @abstractmethod
    def _check(self, endpoint: Document) -> None:
        """Raise ArmError (400) when the endpoint names deployments that cannot answer."""

    @abstractmethod
    def _journal(self, existing: Document | None, endpoint: Document) -> None:
        """Note the changes of an endpoint that was written."""


class Deployments(ABC):
    """The operations on the deployments of one family in one local Azure."""

    family: ClassVar[Family]

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    @abstractmethod
    def put(self, call: ArmCall) -> Response:
        """Create or replace a deployment."""

    def get(self, call: ArmCall) -> Response:
        """One deployment."""
        return JSONResponse(shown(self._deployment(call)))

    def list(self, call: ArmCall) -> Response:
        """The deployments of an endpoint."""
        found = self.family.deployments(self._cloud, self.family.endpoint(self._cloud, call)["id"])
        return list_page(self._cloud, call, [shown(deployment) for deployment in found])

    def delete(self, call: ArmCall) -> Response:
        """Delete a deployment, and its share of the traffic; 204 when there is none."""
        endpoint_id = self.family.endpoint_key(call.workspace_id, call.param("endpoint"))
        name = call.param("deployment")
        with self._cloud.store.transaction():
            refuse_while_changing(self._cloud, endpoint_id)
            endpoint = self._cloud.store.get(self.family.endpoint_kind, endpoint_id)
            if endpoint:
                self._check_unused(endpoint, name)
            if not self._cloud.store.delete(self.family.deployment_kind, deployment_key(endpoint_id, name)):
                return Response(status_code=204)
            if endpoint:
                # Only online endpoints have traffic.
                for field in ("traffic", "mirrorTraffic"):
                    section(endpoint["properties"], field).pop(name, None)
                self._cloud.store.put(self.family.endpoint_kind, endpoint_id, endpoint)
        self._cloud.journal(f"{self.family.effects}deployment.deleted", name=name, endpoint=call.param("endpoint"))
        return settle_empty(self._cloud, call, endpoint_id)

    def routes(self) -> Sequence[Route]:
        """The routes that both families have."""
        path = self.family.path + "/deployments"
        return [
            arm_route(path, "GET", self.list),
            arm_route(path + "/{deployment}", "PUT", self.put),
            arm_route(path + "/{deployment}", "GET", self.get),
            arm_route(path + "/{deployment}", "DELETE", self.delete),
        ]

    def _deployment(self, call: ArmCall) -> Document:
        endpoint_id = self.family.endpoint(self._cloud, call)["id"]
        key = deployment_key(endpoint_id, call.param("deployment"))
        return stored(self._cloud, self.family.deployment_kind, key)

    def _document(self, call: ArmCall, endpoint_id: str, existing: Document | None) -> Document:
        key = deployment_key(endpoint_id, call.param("deployment"))
        return document(call, key, f"workspaces/{self.family.folder}/deployments", existing)

    def _settle(self, call: ArmCall, deployment: Document, endpoint_id: str, *, created: bool) -> Response:
        kind, seconds = self.family.deployment_kind, deployment_seconds(self._cloud)
        return settle(self._cloud, call, kind, deployment, endpoint_id=endpoint_id, created=created, seconds=seconds)

    @abstractmethod
    def _check_unused(self, endpoint: Document, deployment: str) -> None:
        """Raise ArmError (400) when the endpoint sends work to the deployment."""


def document(call: ArmCall, key: str, kind: str, existing: Document | None) -> Document:
    """The document that a request asks for, with the fields that every resource of an endpoint has."""
    given = section(call.body, "properties")
    return {
        "id": key,
        "name": key.rpartition("/")[2],
        "type": f"Microsoft.MachineLearningServices/{kind}",
        "location": call.body.get("location") or "local",
        "tags": section(call.body, "tags"),
        "properties": {**given, "properties": section(given, "properties"), "provisioningState": "Succeeded"},
        "systemData": system_data(existing),
    }


def deployed_model(cloud: Cloud, workspace_id: str, reference: str | None) -> VersionedName:
    """The model a deployment's request refers to.

    Raises:
        ArmError: 400 without a model's name and version, 404 when it is not registered.
    """
    try:
        model = parse_versioned(reference or "")
    except ValueError as error:
        raise user_error("The deployment must name a registered model and version.") from error
    if cloud.store.get(MODEL_KIND, model_key(workspace_id, model.name, model.version)) is None:
        raise ArmError(404, "UserError", f"The model {model} was not found.", {"code": "NotFound"})
    return model


def load_failure(cloud: Cloud, workspace_id: str, model: VersionedName) -> str | None:
    """Why no model can be loaded from its path, or None when it can."""
    try:
        folder = local_path(cloud, workspace_id, str(model))
    except AssetError as error:
        return f"the model {model} cannot be loaded: {error}"
    return None if (folder / "MLmodel").is_file() else f"the model {model} cannot be loaded: it has no MLmodel file"
