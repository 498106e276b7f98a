"""The model registry: containers by name, and below them versions with a path that never changes."""

from typing import Final

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from anew.emulator.arm.protocol import WORKSPACE_PATH, ArmCall, arm_route, list_page, not_found, stored, user_error
from anew.emulator.base.cloud import Cloud, timestamp
from anew.emulator.base.state import Document, section
from anew.emulator.base.uris import JobOutput, parse_uri
from anew.emulator.machine_learning import events as ml_events
from anew.emulator.machine_learning.assets import MODEL_KIND, model_key
from anew.emulator.machine_learning.runs import system_data

MODELS_PATH: Final = WORKSPACE_PATH + "/models"
VERSIONS_PATH: Final = MODELS_PATH + "/{name}/versions"
_IMMUTABLE: Final = ("modelUri", "modelType")


class Models:
    """The model operations of one local Azure."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def put(self, call: ArmCall) -> Response:
        """Register a version, or change the tags, description and stage of one that exists.

        A changed path is refused with 400 (that it is immutable is documented, the code is unverified).
        """
        given = section(call.body, "properties")
        key = model_key(call.workspace_id, call.param("name"), call.param("version"))
        job_name = _job_of(given.get("modelUri"))
        with self._cloud.store.transaction():
            existing = self._cloud.store.get(MODEL_KIND, key)
            if existing is not None:
                _refuse_changed_path(existing, given)
            model = _document(call, key, {**given, "jobName": job_name}, existing)
            self._cloud.store.put(MODEL_KIND, key, model)
            tags = model["properties"]["tags"]
            if existing is not None and existing["properties"]["tags"] != tags:
                self._cloud.journal("model.tagged", name=call.param("name"), version=model["name"], tags=tags)
        if existing is None:
            self._registered(call.workspace_id, model, call.param("name"))
        return JSONResponse(model, 201 if existing is None else 200)

    def get(self, call: ArmCall) -> Response:
        """One version."""
        key = model_key(call.workspace_id, call.param("name"), call.param("version"))
        return JSONResponse(stored(self._cloud, MODEL_KIND, key))

    def list_versions(self, call: ArmCall) -> Response:
        """The versions of a model, newest first; 404 when there is no such model, as the service answers."""
        return list_page(self._cloud, call, filter(call.shows, reversed(self._versions(call))))

    def get_container(self, call: ArmCall) -> Response:
        """The model of that name, with its latest and next version."""
        return JSONResponse(_container(call.workspace_id, call.param("name"), self._versions(call)))

    def list_containers(self, call: ArmCall) -> Response:
        """Every model by name."""
        prefix = f"{call.workspace_id}/models/"
        by_name: dict[str, list[Document]] = {}
        for model in self._cloud.store.list(MODEL_KIND, prefix):
            by_name.setdefault(model["id"][len(prefix) :].partition("/")[0], []).append(model)
        containers = [_container(call.workspace_id, name, versions) for name, versions in by_name.items()]
        return list_page(self._cloud, call, filter(call.shows, containers))

    def _versions(self, call: ArmCall) -> list[Document]:
        container = f"{call.workspace_id}/models/{call.param('name')}"
        versions = self._cloud.store.list(MODEL_KIND, container + "/versions/")
        if not versions:
            raise not_found(container)
        return versions

    def _registered(self, workspace_id: str, model: Document, name: str) -> None:
        version, tags, properties = model["name"], model["properties"]["tags"], model["properties"]["properties"]
        self._cloud.journal("model.registered", name=name, version=version, tags=tags)
        row = {"AmlModelName": name, "OperationName": "ModelRegistered", "ResultType": "Succeeded"}
        self._cloud.log("AmlModelsEvent", {**row, "_ResourceId": workspace_id.casefold()})
        self._cloud.publish(
            ml_events.model_registered(workspace_id, name=name, version=version, tags=tags, properties=properties)
        )


def routes(cloud: Cloud) -> list[Route]:
    """The routes of the model registry."""
    models = Models(cloud)
    return [
        arm_route(MODELS_PATH, "GET", models.list_containers),
        arm_route(MODELS_PATH + "/{name}", "GET", models.get_container),
        arm_route(VERSIONS_PATH, "GET", models.list_versions),
        arm_route(VERSIONS_PATH + "/{version}", "PUT", models.put),
        arm_route(VERSIONS_PATH + "/{version}", "GET", models.get),
    ]


def _document(call: ArmCall, key: str, given: Document, existing: Document | None) -> Document:
    return {
        "id": key,
        "name": call.param("version"),
        "type": "Microsoft.MachineLearningServices/workspaces/models/versions",
        "properties": {
            **given,
            "tags": section(given, "tags"),
            "properties": section(given, "properties"),
            "flavors": section(given, "flavors"),
            "isArchived": bool(given.get("isArchived")),
            "provisioningState": "Succeeded",
        },
        "systemData": system_data(existing),
    }


def _refuse_changed_path(existing: Document, given: Document) -> None:
    for field in _IMMUTABLE:
        if field in given and given[field] != existing["properties"].get(field):
            message = f"The {field} of {existing['id']} cannot be changed: asset versions are immutable."
            raise user_error(message, {"code": "ImmutablePropertyModified"})


def _job_of(uri: str | None) -> str | None:
    if not uri:
        raise user_error("The field modelUri is required.")
    try:
        asset = parse_uri(uri)
    except ValueError as error:
        raise user_error(f"The field modelUri is invalid: {error}.") from error
    return asset.job if isinstance(asset, JobOutput) else None


def _container(workspace_id: str, name: str, versions: list[Document]) -> Document:
    numbers = [int(model["name"]) for model in versions if model["name"].isdecimal()]
    return {
        "id": f"{workspace_id}/models/{name}",
        "name": name,
        "type": "Microsoft.MachineLearningServices/workspaces/models",
        "properties": {
            "latestVersion": versions[-1]["name"],
            "nextVersion": str(max(numbers, default=0) + 1),
            "isArchived": all(model["properties"]["isArchived"] for model in versions),
            "tags": {},
            "properties": {},
        },
        "systemData": {**versions[0]["systemData"], "lastModifiedAt": timestamp()},
    }
