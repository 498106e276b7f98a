"""A monitor observes a given value, without any rows: for tests, benches and chaos runs. Real Azure has no such route.

The runs, metrics and logs of the monitor are kept like those of any other. Its events are published, or returned to the
caller, who can deliver them late, twice, out of order, or not at all.
"""

from datetime import UTC, datetime, timedelta
from typing import Literal

import pydantic
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from anew.emulator.arm.protocol import ArmCall, arm_route
from anew.emulator.base.cloud import Cloud
from anew.emulator.base.state import Document
from anew.emulator.monitors.monitors import Reading
from anew.emulator.monitors.runs import Monitor, Observation, report

_WINDOW = timedelta(hours=1)
_FEATURE = "x"


class _Request(pydantic.BaseModel, extra="forbid"):
    """The value that a monitor of a kind and name observed; the threshold decides whether it is drift."""

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
    request = call.parsed(_Request, "BadArgument")
    events: list[Document] = []
    monitor = Monitor(request.kind, request.name, request.threshold, baseline_rows=1)
    reading = Reading(_FEATURE, monitor.metric, request.value, request.threshold)
    now = datetime.now(UTC)
    seen = Observation(request.value, [reading], now - _WINDOW, now)
    report(cloud.publishing_to(events.append), request.workspace_id, monitor, seen)
    if request.publish:
        for event in events:
            cloud.publish(event)
    return JSONResponse({"events": events})
