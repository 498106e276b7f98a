"""The control API of local Azure: health, the journal of effects, job metrics and modes of behaviour. Real Azure has no
such API; it needs no token.
"""

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from anew.emulator.arm.protocol import ArmCall, arm_route, not_found
from anew.emulator.base.cloud import MODES, Cloud, timestamp
from anew.emulator.machine_learning import runs


def routes(cloud: Cloud) -> list[Route]:
    """The control routes that belong to no service."""
    since = timestamp()

    def health(_: ArmCall) -> Response:
        return JSONResponse({"status": "ok", "since": since})

    def journal(call: ArmCall) -> Response:
        action, entries = call.query("action"), cloud.store.appended("journal", call.number("after", -1))
        wanted = [{"seq": seq, **entry} for seq, entry in entries if action is None or entry["action"] == action]
        return JSONResponse({"value": wanted})

    def metrics(call: ArmCall) -> Response:
        name = call.param("name").casefold()
        # Job names are unique only within a workspace; the newest job of that name is meant.
        for job in reversed(runs.mirror(cloud).all()):
            if job["name"].casefold() == name:
                return JSONResponse(cloud.store.get(runs.METRICS_KIND, job["id"]) or {"metrics": {}})
        raise not_found(call.resource_id)

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
