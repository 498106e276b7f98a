"""Scores rows on online endpoints: picks the deployment, predicts with its real model, and logs the request."""

import secrets
import time
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from anew.emulator.arm.protocol import ArmError, decode_body
from anew.emulator.base.cloud import Cloud
from anew.emulator.base.state import Document
from anew.emulator.endpoints.logs import CONSOLE_LOG, MODEL_ERROR, TRAFFIC_LOG, answered, printed, score_line
from anew.emulator.endpoints.online_endpoints import (
    DEPLOYMENT_KIND,
    ENDPOINT_KIND,
    console,
    endpoint_key,
    endpoint_keys,
)
from anew.emulator.endpoints.resources import deployment_key
from anew.emulator.endpoints.traffic import choose
from anew.emulator.machine_learning.assets import AssetError, local_path

if TYPE_CHECKING:
    from anew.emulator.workloads.model_io import SavedModel

DEPLOYMENT_HEADER: Final = "azureml-model-deployment"
ROTATION_KIND: Final = "onlineEndpoint.requests"
MODELS_IN_MEMORY: Final = 8


def score(
    cloud: Cloud,
    workspace_id: str,
    endpoint: str,
    columns: list[str],
    rows: list[list[float]],
    deployment: str | None = None,
) -> tuple[list[int], str]:
    """The predicted classes, and the name of the deployment that answered.

    Without a deployment the endpoint's traffic split decides, by rotation instead of chance, so that the same
    requests always meet the same deployments. A mirrored share of the requests is scored again, without an answer.

    Raises:
        ArmError: 404 without such an endpoint or deployment or without live traffic, 424 when the model cannot be
            loaded or cannot take the rows: Azure answers so when the model's container does not answer 200.
    """
    document = cloud.store.get(ENDPOINT_KIND, endpoint_key(workspace_id, endpoint))
    if document is None:
        raise ArmError(404, "NotFound", f"The endpoint {endpoint} does not exist.")
    number = next_request(cloud, document["id"])
    name = deployment or choose(document["properties"]["traffic"], number)
    if name is None:
        raise ArmError(404, "NotFound", f"The endpoint {endpoint} sends no traffic to any deployment.")
    predictions = _answer(cloud, document, name, columns, rows)
    mirror = None if deployment else choose(document["properties"]["mirrorTraffic"], number)
    if mirror is not None:
        with suppress(ArmError):  # no caller gets the answer
            _answer(cloud, document, mirror, columns, rows)
    return predictions, name


def routes(cloud: Cloud) -> list[Route]:
    """The scoring address of every endpoint."""

    async def endpoint(request: Request) -> Response:
        body = await request.body()
        return await run_in_threadpool(_respond, cloud, request, body)

    return [Route("/score/{endpoint}", endpoint, methods=["POST"])]


def _respond(cloud: Cloud, request: Request, body: bytes) -> Response:
    document = _authorized(cloud, request)
    columns, rows = _read_input(body)
    wanted = request.headers.get(DEPLOYMENT_HEADER)
    predictions, deployment = score(cloud, _workspace_of(document), document["name"], columns, rows, wanted)
    return JSONResponse(predictions, headers={DEPLOYMENT_HEADER: deployment})


def _authorized(cloud: Cloud, request: Request) -> Document:
    """The endpoint whose key the request has; names are unique in a region, so the name alone finds it."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    name = request.path_params["endpoint"].casefold()
    for document in cloud.store.list(ENDPOINT_KIND):
        if document["name"].casefold() == name and scheme.casefold() == "bearer":
            keys = endpoint_keys(cloud, document["id"]).values()
            if any(secrets.compare_digest(token.strip().encode(), key.encode()) for key in keys):
                return document
    raise ArmError(401, "key_auth_access_denied", "The request carries no valid key of the endpoint.")


def _workspace_of(endpoint: Document) -> str:
    return endpoint["id"].partition("/onlineEndpoints/")[0]


def _read_input(body: bytes) -> tuple[list[str], list[list[float]]]:
    given: Any = decode_body(body).get("input_data")
    match given:
        case {"columns": [*columns], "data": [*rows]} if all(isinstance(row, list) for row in rows):
            return [str(column) for column in columns], rows
        case _:
            message = 'The body must be {"input_data": {"columns": [...], "data": [[...], ...]}}.'
            raise ArmError(400, "BadRequest", message)


def next_request(cloud: Cloud, endpoint_id: str, count: int = 1) -> int:
    """The number of an endpoint's next request, which decides who answers it, and of count - 1 after it."""
    with cloud.store.transaction():
        number: int = (cloud.store.get(ROTATION_KIND, endpoint_id) or {"next": 0})["next"]
        cloud.store.put(ROTATION_KIND, endpoint_id, {"next": number + count})
    return number


def _answer(cloud: Cloud, endpoint: Document, name: str, columns: list[str], rows: list[list[float]]) -> list[int]:
    """Score on one deployment and log the request, whether it succeeds or not.

    A model prints its predictions by the convention of anew's analysis: one JSON line with the key `anew_score`.
    """
    began, code = time.perf_counter(), 200
    key = deployment_key(endpoint["id"], name)
    try:
        predictions = _predict(_load(cloud, _workspace_of(endpoint), key, name), columns, rows)
        cloud.log(CONSOLE_LOG, printed(endpoint, name, score_line(predictions)))
    except ArmError as error:
        code = error.status
        console(cloud, key, error.message)
        raise
    else:
        return predictions
    finally:
        row = answered(endpoint, name, code, milliseconds=(time.perf_counter() - began) * 1000)
        cloud.log(TRAFFIC_LOG, row)


def _load(cloud: Cloud, workspace_id: str, key: str, name: str) -> "SavedModel":
    deployment = cloud.store.get(DEPLOYMENT_KIND, key)
    if deployment is None:
        raise ArmError(404, "NotFound", f"The deployment {name} does not exist.")
    try:
        folder = local_path(cloud, workspace_id, deployment["properties"]["model"])
        return _load_folder(folder, (folder / "MLmodel").stat().st_mtime_ns)
    except (AssetError, OSError) as error:
        raise ArmError(MODEL_ERROR, "ModelError", f"The model of {name} cannot be loaded: {error}") from error


@lru_cache(maxsize=MODELS_IN_MEMORY)
def _load_folder(folder: Path, _written: int) -> "SavedModel":
    # Imported here because numpy and scikit-learn would slow the start of local Azure.
    from anew.emulator.workloads.model_io import load_model

    return load_model(folder)


def _predict(model: "SavedModel", columns: list[str], rows: list[list[float]]) -> list[int]:
    import numpy as np

    if not rows:
        return []
    try:
        predicted = model.predict(columns, np.asarray(rows, dtype=np.float64))
    except (KeyError, ValueError, IndexError) as error:
        raise ArmError(MODEL_ERROR, "ModelError", f"The rows do not fit the model: {error}") from error
    return [int(label) for label in predicted]
