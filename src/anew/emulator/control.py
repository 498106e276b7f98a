"""The control API of local Azure: health, the journal of effects, job metrics and modes of behaviour. No real Azure
has it, and it asks for no token.
"""

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from anew.emulator.arm.protocol import ArmCall, arm_route, not_found
from anew.emulator.base.cloud import MODES, Cloud, timestamp
from anew.emulator.base.state import Document
from anew.emulator.machine_learning import runs


def routes(cloud: Cloud) -> list[Route]:
    """The control routes that belong to no service."""
    since = timestamp()

    def health(_: ArmCall) -> Response:
        return JSONResponse({"status": "ok", "since": since})

    def journal(call: ArmCall) -> Response:
        entries = read_journal(cloud, call.query("action"), call.number("after", -1))
        return JSONResponse({"value": entries})

    def metrics(call: ArmCall) -> Response:
        return JSONResponse(_metrics(cloud, call))

    def get_modes(_: ArmCall) -> Response:
        return JSONResponse(cloud.store.get(MODES, MODES) or {})

    def put_modes(call: ArmCall) -> Response:
        with cloud.store.transaction():
            modes = {**(cloud.store.get(MODES, MODES) or {}), **call.body}
            cloud.store.put(MODES, MODES, modes)
        return JSONResponse(modes)

    return [
        arm_route("/emulator/health", "GET", health),
        arm_route("/emulator/journal", "GET", journal),
        arm_route("/emulator/jobs/{name}/metrics", "GET", metrics),
        arm_route("/emulator/modes", "GET", get_modes),
        arm_route("/emulator/modes", "PUT", put_modes),
    ]


def read_journal(cloud: Cloud, action: str | None, after: int) -> list[Document]:
    """The journal's entries above the number after, oldest first, each with its number as ``seq``."""
    entries = cloud.store.appended("journal", after)
    return [{"seq": seq, **entry} for seq, entry in entries if action is None or entry["action"] == action]


def _metrics(cloud: Cloud, call: ArmCall) -> Document:
    name = call.param("name")
    # Job names are unique in a workspace only; the newest of that name is the one meant.
    for job in reversed(runs.mirror(cloud).all()):
        if job["name"].casefold() == name.casefold():
            return cloud.store.get(runs.METRICS_KIND, job["id"]) or {"metrics": {}}
    raise not_found(call.resource_id)
