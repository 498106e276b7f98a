"""Letting a monitor see something, without rows to see it in: for tests, benches and chaos runs. No real Azure has it.

The monitor's runs, metrics and logs are kept as those of any other. Its events are published, or handed to the caller
to deliver them late, twice, out of order, or not at all.
"""

from datetime import UTC, datetime, timedelta
from typing import Literal

import pydantic
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from anew.emulator.arm.protocol import ArmCall, ArmError, arm_route
from anew.emulator.base.cloud import Cloud
from anew.emulator.base.state import Document
from anew.emulator.monitors.monitors import Reading
from anew.emulator.monitors.runs import Monitor, Observation, report

_WINDOW = timedelta(hours=1)
_FEATURE = "x"


class _Request(pydantic.BaseModel, extra="forbid"):
    """A monitor of a kind and name saw this value; its threshold says whether it is drift."""

    workspace_id: str
    kind: Literal["dataset", "model"]
    name: str
    value: float
    threshold: float = 0.3
    publish: bool = True


def routes(cloud: Cloud) -> list[Route]:
    """The control route of monitors."""
    return [arm_route("/emulator/observations", "POST", lambda call: _observe(cloud, call))]


def _observe(cloud: Cloud, call: ArmCall) -> Response:
    try:
        request = _Request.model_validate(call.body)
    except pydantic.ValidationError as error:
        raise ArmError(400, "BadArgument", str(error)) from error
    events: list[Document] = []
    monitor = Monitor(request.kind, request.name, request.threshold, baseline_rows=1)
    reading = Reading(_FEATURE, monitor.metric, request.value, request.threshold)
    now = datetime.now(UTC)
    report(
        cloud.telling(events.append),
        request.workspace_id,
        monitor,
        Observation(request.value, [reading], now - _WINDOW, now),
    )
    if request.publish:
        for event in events:
            cloud.publish(event)
    return JSONResponse({"events": events})
