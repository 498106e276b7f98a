"""Long-running operations: answers at once, or as Azure ML does with 201/202 and a status document to poll.

The async form follows a recorded exchange: 201 with Azure-AsyncOperation (mfeOperationsStatus) and Location, the
resource "Creating", the status document "Updating". An operation only *shows* as unfinished for a while: its effect
is written before it begins, so a restart loses nothing.
"""

import time
import uuid
from typing import Final

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from anew.emulator.arm import ArmCall, arm_route, not_found
from anew.emulator.cloud import Cloud
from anew.emulator.state import Document

KIND: Final = "operation"
RETRY_AFTER_MS: Final = 30
OPERATION_SECONDS: Final = 0.15
READY_AT: Final = "_readyAt"
_PROVIDER: Final = "/subscriptions/{subscription}/providers/Microsoft.MachineLearningServices/locations/{location}"


def settle(cloud: Cloud, call: ArmCall, kind: str, resource: Document, *, created: bool) -> Response:
    """Write a created or updated resource and answer with it.

    In the mode ``async_operations`` it shows as "Creating" or "Updating" for OPERATION_SECONDS, and the answer says
    where to poll; by default it shows its final provisioningState at once. A failure always takes the longer way,
    because a client learns of it only from the operation.
    """
    final: str = resource["properties"]["provisioningState"]
    if final == "Succeeded" and not cloud.mode("async_operations", 0.0):
        cloud.store.put(kind, resource["id"], resource)
        return JSONResponse(resource, 201 if created else 200)
    pending = {**resource, READY_AT: time.time() + OPERATION_SECONDS}
    cloud.store.put(kind, resource["id"], pending)
    headers = _begin(cloud, call, final)
    return JSONResponse(shown(pending, "Creating" if created else "Updating"), 201 if created else 200, headers)


def settle_empty(cloud: Cloud, call: ArmCall) -> Response:
    """Answer a delete or an action that was performed: 200, or in the mode ``async_operations`` 202 and a poll."""
    if not cloud.mode("async_operations", 0.0):
        return Response(status_code=200)
    return Response(status_code=202, headers=_begin(cloud, call, "Succeeded"))


def shown(resource: Document, unfinished: str = "Updating") -> Document:
    """A resource as clients see it: with the unfinished provisioningState until its operation ends."""
    visible = {key: value for key, value in resource.items() if key != READY_AT}
    if resource.get(READY_AT, 0.0) > time.time():
        visible["properties"] = {**visible["properties"], "provisioningState": unfinished}
    return visible


def routes(cloud: Cloud) -> list[Route]:
    """The status document of an operation, and the Location that answers 202 until it ends."""

    def find(call: ArmCall) -> Document:
        operation = cloud.store.get(KIND, call.param("operation"))
        if operation is None:
            raise not_found(call.resource_id)
        return operation

    def status(call: ArmCall) -> Response:
        operation = find(call)
        shown_status = "Updating" if _unfinished(operation) else operation["status"]
        answer: Document = {"name": operation["name"], "status": shown_status}
        if shown_status == "Failed":
            answer["error"] = {"code": "UserError", "message": "The operation failed."}
        return JSONResponse(answer, headers={"retry-after-ms": str(RETRY_AFTER_MS)})

    def result(call: ArmCall) -> Response:
        if not _unfinished(find(call)):
            return Response(status_code=200)
        headers = {"Location": str(call.request.url), "retry-after-ms": str(RETRY_AFTER_MS)}
        return Response(status_code=202, headers=headers)

    return [
        arm_route(_PROVIDER + "/mfeOperationsStatus/{operation}", "GET", status),
        arm_route(_PROVIDER + "/mfeOperationResults/{operation}", "GET", result),
    ]


def _unfinished(operation: Document) -> bool:
    return operation["readyAt"] > time.time()


def _begin(cloud: Cloud, call: ArmCall, status: str) -> dict[str, str]:
    name = str(uuid.uuid4())
    cloud.store.put(KIND, name, {"name": name, "status": status, "readyAt": time.time() + OPERATION_SECONDS})
    base = cloud.base_url + _PROVIDER.format(subscription=call.param("subscription"), location="local")
    return {
        "Azure-AsyncOperation": f"{base}/mfeOperationsStatus/{name}?api-version=2022-02-01-preview",
        "Location": f"{base}/mfeOperationResults/{name}?api-version=2022-02-01-preview",
        "retry-after-ms": str(RETRY_AFTER_MS),
    }
