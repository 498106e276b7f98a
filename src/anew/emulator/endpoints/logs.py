"""The rows that online endpoints leave in Log Analytics, with the columns of the real tables.

The traffic log has no column for predictions. A scoring script can print them, and a container's output goes to the
console log, where only `_ResourceId` names the endpoint.
"""

import json
import uuid
from collections.abc import Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Final

from anew.emulator.base.cloud import timestamp
from anew.emulator.base.state import Document

TRAFFIC_LOG: Final = "AmlOnlineEndpointTrafficLog"
CONSOLE_LOG: Final = "AmlOnlineEndpointConsoleLog"
MODEL_ERROR: Final = 424
"""The status that Azure returns when the model's container returns anything but 200."""


def answered(
    endpoint: Document,
    deployment: str,
    code: int,
    *,
    milliseconds: float,
    at: datetime | None = None,
    request_id: str | None = None,
) -> Document:
    """The traffic log's row of one request that a deployment answered. Azure logs whole milliseconds."""
    model_code = HTTPStatus.INTERNAL_SERVER_ERROR if code == MODEL_ERROR else HTTPStatus(code)
    return {
        "TimeGenerated": timestamp(at),
        "Method": "POST",
        "Path": "/score",
        "Protocol": "HTTP/1.1",
        "ResponseCode": code,
        "ResponseCodeReason": HTTPStatus(code).phrase,
        "ModelStatusCode": model_code.value,
        "ModelStatusReason": model_code.phrase,
        "RequestDurationMs": 0,
        "TotalDurationMs": round(milliseconds),
        "EndpointName": endpoint["name"],
        "DeploymentName": deployment,
        "XRequestId": request_id or str(uuid.uuid4()),
        "_ResourceId": endpoint["id"].casefold(),
    }


def printed(endpoint: Document, deployment: str, message: str, *, at: datetime | None = None) -> Document:
    """The console log's row of one line that a deployment's container printed."""
    return {
        "TimeGenerated": timestamp(at),
        "DeploymentName": deployment,
        "InstanceId": f"{deployment}-0",
        "ContainerName": "inference-server",
        "Message": message,
        "_ResourceId": endpoint["id"].casefold(),
    }


def score_line(scores: float | Sequence[float]) -> str:
    """The line that a scoring script prints for anew to compare: JSON with a number, or a list for several rows."""
    return json.dumps({"anew_score": scores})
