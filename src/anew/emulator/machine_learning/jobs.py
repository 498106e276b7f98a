"""Command jobs over Azure Resource Manager, and the run history that shows child runs and logs."""

import re
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from anew.emulator.arm.operations import settle_empty
from anew.emulator.arm.protocol import WORKSPACE_PATH, ArmCall, arm_route, list_page, not_found, user_error
from anew.emulator.base.cloud import Cloud
from anew.emulator.base.state import Document, section
from anew.emulator.data_factory.web import ACTIVITY_RUN_HEADER
from anew.emulator.machine_learning import runs
from anew.emulator.machine_learning.events import stable_id
from anew.emulator.machine_learning.job_runner import JobRunner

JOBS_PATH: Final = WORKSPACE_PATH + "/jobs"
HISTORY_PATH: Final = "/history/v1.0" + WORKSPACE_PATH
_CALLER_KIND: Final = "job.caller"
LOG_FILE: Final = "user_logs/std_log.txt"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,254}")


class Jobs:
    """The job operations of one local Azure."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def create(self, call: ArmCall) -> Response:
        """Create a command job. A name is used once: every later PUT is refused.

        The service's message lets tags, description, display name and isArchived be changed; that the same body is
        refused too is unverified.
        """
        name, properties = call.param("name"), section(call.body, "properties")
        _check_new_job(name, properties)
        job = runs.new_job(self._cloud, call.workspace_id, name, properties)
        caller = call.request.headers.get(ACTIVITY_RUN_HEADER)
        with self._cloud.store.transaction():
            if not self._cloud.store.create(runs.KIND, job["id"], job):
                return self._answer_again(job["id"], name, caller)
            if caller is not None:
                self._cloud.store.put(_CALLER_KIND, job["id"], {"activity_run": caller})
            self._cloud.journal("job.created", name=name, tags=job["properties"]["tags"])
            runs.announce(self._cloud, job)
        self._cloud.service(JobRunner).submit(job["id"])
        return JSONResponse(job, 201)

    def _answer_again(self, key: str, name: str, caller: str | None) -> Response:
        """The first answer again, for a pipeline's activity that lost it in a crash; every other caller is refused.

        In Azure, Data Factory and Azure ML do not crash together; here they are one process.
        """
        if caller is None or self._cloud.store.get(_CALLER_KIND, key) != {"activity_run": caller}:
            message = (
                "A job with this name already exists. If you are trying to create a new job, use a different name. If "
                f"you are trying to update the existing job {name}, its properties cannot be changed."
            )
            raise user_error(message, {"code": "Immutable", "innererror": {"code": "JobPropertyImmutable"}})
        return JSONResponse(self._cloud.store.get(runs.KIND, key), 201)

    def get(self, call: ArmCall) -> Response:
        """A job. The properties of a child run are null here; the SDK then asks the run history."""
        job = self._job(call)
        if job["properties"].get("parentJobName"):
            job = {**job, "properties": None}
        return JSONResponse(job)

    def list(self, call: ArmCall) -> Response:
        """Root jobs, newest first; ``tag`` keeps those that have the tag KEY, or KEY=VALUE (unverified)."""
        tag = call.query("tag")
        jobs = (
            job
            for job in reversed(runs.jobs_of(self._cloud, call.workspace_id))
            if not job["properties"].get("parentJobName")
            and call.shows(job)
            and (tag is None or _has_tag(job["properties"]["tags"], tag))
        )
        return list_page(self._cloud, call, jobs)

    def cancel(self, call: ArmCall) -> Response:
        """Cancel a job; this changes nothing when it has ended (unverified)."""
        self._cloud.service(JobRunner).cancel(self._job(call)["id"])
        return settle_empty(self._cloud, call)

    def history_run(self, call: ArmCall) -> Response:
        """One run as the run history shows it."""
        return JSONResponse(_history(self._job(call)))

    def history_children(self, call: ArmCall) -> Response:
        """The child runs of a job."""
        parent = self._job(call)["name"].casefold()
        children = [
            _history(job)
            for job in runs.jobs_of(self._cloud, call.workspace_id)
            if str(job["properties"].get("parentJobName") or "").casefold() == parent
        ]
        return list_page(self._cloud, call, children)

    def history_details(self, call: ArmCall) -> Response:
        """Status and log files of a run, which ``jobs.stream`` follows."""
        job = self._job(call)
        log = f"{self._cloud.base_url}/emulator/jobs/{job['name']}/log"
        history = _history(job)
        keys = ("runId", "status", "properties", "startTimeUtc", "endTimeUtc", "error")
        return JSONResponse({key: history[key] for key in keys} | {"logFiles": {LOG_FILE: log}})

    async def log(self, request: Request) -> Response:
        """The output of a job; without a bearer token, because the SAS address that it replaces needs none."""
        name = request.path_params["name"]
        if not _NAME.fullmatch(name):
            raise not_found(request.url.path)
        return PlainTextResponse(runs.JobLog(self._cloud, name).read())

    def _job(self, call: ArmCall) -> Document:
        key = runs.job_id(call.workspace_id, call.param("name"))
        if (job := runs.mirror(self._cloud).get(key)) is None:
            raise not_found(key)
        return job


def routes(cloud: Cloud) -> list[Route]:
    """The routes of jobs and of the run history."""
    jobs = Jobs(cloud)
    return [
        arm_route(JOBS_PATH, "GET", jobs.list),
        arm_route(JOBS_PATH + "/{name}", "PUT", jobs.create),
        arm_route(JOBS_PATH + "/{name}", "GET", jobs.get),
        arm_route(JOBS_PATH + "/{name}/cancel", "POST", jobs.cancel),
        arm_route(HISTORY_PATH + "/runs/{name}", "GET", jobs.history_run),
        arm_route(HISTORY_PATH + "/runs/{name}/children", "GET", jobs.history_children),
        arm_route(HISTORY_PATH + "/runs/{name}/details", "GET", jobs.history_details),
        Route("/emulator/jobs/{name}/log", jobs.log),
    ]


def _check_new_job(name: str, properties: dict[str, Any]) -> None:
    if not _NAME.fullmatch(name):
        raise user_error(f"The job name {name!r} may only have letters, digits, '-' and '_', at most 255 of them.")
    if properties.get("jobType") != "Command":
        raise user_error(f"Local Azure runs jobs of type Command only, not {properties.get('jobType')!r}.")
    if not properties.get("command"):
        raise user_error("The field command is required.")


def _has_tag(tags: dict[str, str], wanted: str) -> bool:
    key, separator, value = wanted.partition("=")
    return key in tags and (not separator or tags[key] == value)


def _history(job: Document) -> Document:
    details, created = job["properties"], job["systemData"]
    over = details["status"] in runs.FINAL_STATUSES
    failure = details["properties"].get(runs.ERROR_PROPERTY)
    return {
        "runId": job["name"],
        "runUuid": stable_id(job["id"]),
        "parentRunId": details.get("parentJobName"),
        "rootRunId": details.get("parentJobName") or job["name"],
        "experimentId": stable_id(runs.workspace_of(job["id"]), details["experimentName"]),
        "displayName": details["displayName"],
        "status": details["status"],
        "runType": "azureml.StepRun" if details.get("parentJobName") else "azureml.CommandJob",
        "tags": details["tags"],
        "properties": details["properties"],
        "createdUtc": created["createdAt"],
        "startTimeUtc": created["createdAt"],
        "endTimeUtc": created["lastModifiedAt"] if over else None,
        "error": {"error": {"code": "UserError", "message": failure}} if failure else None,
    }
