"""Data Factory's REST surface, api-version 2018-06-01: pipelines, their runs and their activities' runs."""

from collections.abc import Callable
from typing import Final, cast

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from anew.emulator.arm.protocol import GROUP_PATH, ArmCall, ArmError, arm_route
from anew.emulator.base.cloud import Cloud
from anew.emulator.base.state import Document
from anew.emulator.data_factory.activities import ACTIVITY_TYPES, activities_of
from anew.emulator.data_factory.queries import query_runs
from anew.emulator.data_factory.run import ACTIVITY_RUNS, run_mirror
from anew.emulator.data_factory.runner import PipelineRunner, run_key

FACTORY_PATH: Final = GROUP_PATH + "/providers/Microsoft.DataFactory/factories/{factory}"
PIPELINES: Final = "pipeline"
_PAGE_SIZE: Final = 100


def routes(cloud: Cloud) -> list[Route]:
    """The routes of every data factory."""
    runner = cloud.service(PipelineRunner)
    pipeline, run = FACTORY_PATH + "/pipelines/{pipeline}", FACTORY_PATH + "/pipelineruns/{run}"

    def list_pipelines(call: ArmCall) -> Response:
        return JSONResponse({"value": cloud.store.list(PIPELINES, f"{_factory_id(call)}/pipelines/")})

    def delete_pipeline(call: ArmCall) -> Response:
        return Response(status_code=200 if cloud.store.delete(PIPELINES, _pipeline_id(call)) else 204)

    def cancel(call: ArmCall) -> Response:
        if not runner.cancel(_factory_id(call), call.param("run")):
            raise _run_not_found(call)
        return Response(status_code=200)

    def query_activities(call: ArmCall) -> Response:
        _run(cloud, call)
        activities = cloud.store.list(ACTIVITY_RUNS, f"{run_key(_factory_id(call), call.param('run'))}/")
        return _page(cloud, activities, call, "activityRunEnd")

    def query_pipelines(call: ArmCall) -> Response:
        return _page(cloud, run_mirror(cloud).within(_factory_id(call)), call, "lastUpdated")

    return [
        arm_route(FACTORY_PATH + "/pipelines", "GET", list_pipelines),
        arm_route(pipeline, "PUT", lambda call: _put_pipeline(cloud, call)),
        arm_route(pipeline, "GET", lambda call: JSONResponse(_pipeline(cloud, call))),
        arm_route(pipeline, "DELETE", delete_pipeline),
        arm_route(pipeline + "/createRun", "POST", lambda call: _create_run(cloud, runner, call)),
        arm_route(run, "GET", lambda call: JSONResponse(_run(cloud, call))),
        arm_route(run + "/cancel", "POST", cancel),
        arm_route(run + "/queryActivityruns", "POST", query_activities),
        arm_route(FACTORY_PATH + "/queryPipelineRuns", "POST", query_pipelines),
    ]


def start(cloud: Cloud) -> Callable[[], None]:
    """Continue the runs that a restart interrupted; returns a function that stops all runs where they are."""
    runner = cloud.service(PipelineRunner)
    runner.resume()
    return runner.stop


def _factory_id(call: ArmCall) -> str:
    return FACTORY_PATH.format(**call.request.path_params)


def _pipeline_id(call: ArmCall) -> str:
    return f"{_factory_id(call)}/pipelines/{call.param('pipeline')}"


def _put_pipeline(cloud: Cloud, call: ArmCall) -> Response:
    properties = call.body.get("properties")
    if not isinstance(properties, dict):
        raise ArmError(400, "BadRequest", "The pipeline has no properties.")
    definition = cast(Document, properties)
    for activity in activities_of(definition.get("activities") or []):
        if activity.get("type") not in ACTIVITY_TYPES or "name" not in activity:
            known = ", ".join(sorted(ACTIVITY_TYPES))
            message = f"Local Azure runs named activities of the types {known}; not {activity.get('type')!r}."
            raise ArmError(400, "BadRequest", message)
    document: Document = {
        "id": _pipeline_id(call),
        "name": call.param("pipeline"),
        "type": "Microsoft.DataFactory/factories/pipelines",
        "properties": definition,
    }
    return JSONResponse(cloud.store.put(PIPELINES, _pipeline_id(call), document))


def _pipeline(cloud: Cloud, call: ArmCall) -> Document:
    document = cloud.store.get(PIPELINES, _pipeline_id(call))
    if document is None:
        message = f"The document could not be retrieved because pipeline '{call.param('pipeline')}' does not exist."
        raise ArmError(404, "PipelineNotFound", message)
    return document


def _create_run(cloud: Cloud, runner: PipelineRunner, call: ArmCall) -> Response:
    if (reference := call.query("referencePipelineRunId")) is not None:
        message = f"Recovery from the pipeline run '{reference}' is not supported by local Azure."
        raise ArmError(400, "ReferencedPipelineRunNotValid", message)
    definition = _pipeline(cloud, call)["properties"]
    return JSONResponse({"runId": runner.create(_factory_id(call), call.param("pipeline"), definition, call.body)})


def _run(cloud: Cloud, call: ArmCall) -> Document:
    run = run_mirror(cloud).get(run_key(_factory_id(call), call.param("run")))
    if run is None:
        raise _run_not_found(call)
    return run


def _run_not_found(call: ArmCall) -> ArmError:
    return ArmError(404, "PipelineRunNotFound", f"The pipeline run '{call.param('run')}' was not found.")


def _page(cloud: Cloud, runs: list[Document], call: ArmCall, updated: str) -> Response:
    size = int(cloud.mode("pipeline_run_page_size", _PAGE_SIZE))
    page = query_runs(runs, call.body, updated=updated, page_size=size)
    token = {} if page.continuation is None else {"continuationToken": page.continuation}
    return JSONResponse({"value": page.items, **token})
