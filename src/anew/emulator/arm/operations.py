"""Long-running operations: immediate answers, or as in Azure ML 201/202 and a status document to poll.

The async form follows a recorded exchange: 201 with Azure-AsyncOperation (mfeOperationsStatus) and Location, the
resource "Creating", the status document "Updating". An operation only *appears* unfinished for a while: its effect
is written before it begins, so a restart loses nothing. Until it ends, its endpoint accepts no other write.
"""

import time
import uuid
from typing import Final

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from anew.emulator.arm.protocol import ArmCall, ArmError, arm_route, not_found
from anew.emulator.base.cloud import Cloud
from anew.emulator.base.state import Document

KIND: Final = "operation"
CHANGING_KIND: Final = "operation.endpoint"
RETRY_AFTER_MS: Final = 30
OPERATION_SECONDS: Final = 0.15
READY_AT: Final = "_readyAt"
_PROVIDER: Final = "/subscriptions/{subscription}/providers/Microsoft.MachineLearningServices/locations/{location}"


def operation_seconds(cloud: Cloud) -> float:
    """How long an operation takes by the modes ``async_operations`` and ``operation_seconds``; 0 means at once."""
    return cloud.mode("operation_seconds", OPERATION_SECONDS) if cloud.mode("async_operations", 0.0) else 0.0


def deployment_seconds(cloud: Cloud) -> float:
    """How long a change of a deployment takes: the mode ``deployment_seconds``, else as any operation."""
    return cloud.mode("deployment_seconds", 0.0) or operation_seconds(cloud)


def refuse_while_changing(cloud: Cloud, endpoint_id: str) -> None:
    """Refuse a write to an endpoint that an operation is still changing, its deployments included.

    Raises:
        ArmError: 409 (its code, and that an operation on a deployment blocks writes to the others, are unverified).
    """
    changing = cloud.store.get(CHANGING_KIND, endpoint_id.casefold())
    if changing is not None and changing["until"] > time.time():
        message = f"Another operation on the endpoint {endpoint_id} is in progress: it is in Updating state."
        raise ArmError(409, "Conflict", message)


def settle(
    cloud: Cloud, call: ArmCall, kind: str, resource: Document, *, endpoint_id: str, created: bool, seconds: float
) -> Response:
    """Write a created or updated resource of an endpoint and answer with it.

    When that takes seconds, it appears as "Creating" or "Updating" meanwhile, and the answer says where to poll. Else
    it has its final provisioningState at once. A failure always takes the longer way, because a client learns of it
    only from the operation.
    """
    final: str = resource["properties"]["provisioningState"]
    if final == "Succeeded" and not seconds:
        cloud.store.put(kind, resource["id"], resource)
        return JSONResponse(resource, 201 if created else 200)
    ends = time.time() + (seconds or OPERATION_SECONDS)
    pending = {**resource, READY_AT: ends}
    cloud.store.put(kind, resource["id"], pending)
    headers = _begin(cloud, call, final, endpoint_id, ends)
    return JSONResponse(shown(pending, "Creating" if created else "Updating"), 201 if created else 200, headers)


def settle_empty(cloud: Cloud, call: ArmCall, endpoint_id: str | None = None) -> Response:
    """Answer a completed delete or action: 200, or when operations take seconds 202 and a poll."""
    seconds = operation_seconds(cloud)
    if not seconds:
        return Response(status_code=200)
    return Response(status_code=202, headers=_begin(cloud, call, "Succeeded", endpoint_id, time.time() + seconds))


def shown(resource: Document, unfinished: str = "Updating") -> Document:
    """A resource as clients see it, with the unfinished provisioningState until its operation ends."""
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


def _begin(cloud: Cloud, call: ArmCall, status: str, endpoint_id: str | None, ends: float) -> dict[str, str]:
    name = str(uuid.uuid4())
    cloud.store.put(KIND, name, {"name": name, "status": status, "readyAt": ends})
    if endpoint_id is not None:
        cloud.store.put(CHANGING_KIND, endpoint_id.casefold(), {"until": ends})
    base = cloud.base_url + _PROVIDER.format(subscription=call.param("subscription"), location="local")
    return {
        "Azure-AsyncOperation": f"{base}/mfeOperationsStatus/{name}?api-version=2022-02-01-preview",
        "Location": f"{base}/mfeOperationResults/{name}?api-version=2022-02-01-preview",
        "retry-after-ms": str(RETRY_AFTER_MS),
    }
