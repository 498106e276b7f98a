"""The part of MLflow's REST API that reads runs and their metrics, at the workspace's tracking address.

Experiments are those of the workspace's jobs and of its monitors; runs are both kinds too. Limits are those of Azure ML
where they are public: filters compare tags by `=` and join by `and` (how-to-track-experiments-mlflow, support matrix).
A page of a metric's history has fewer than 1,000 points, a limit that Azure once set (mlflow/mlflow issue 10694); a
client that asks for more gets 999, so that MLflow's own client, which asks for 25,000, can read them too.
"""

import math
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from anew.emulator.arm.protocol import WORKSPACE_PATH, ArmCall, ArmError, arm_route
from anew.emulator.base.cloud import Cloud
from anew.emulator.base.state import Document
from anew.emulator.machine_learning import metric_runs, runs
from anew.emulator.machine_learning.events import stable_id

# A tracking address names v1.0, and clients of MLflow 2 and later ask v2.0 (azureml-mlflow, `get_mlflow_tracking_uri`).
API_PATH: Final = "/mlflow/{version}" + WORKSPACE_PATH + "/api/2.0/mlflow"
DEFAULT_PAGE: Final = 1000
MOST_POINTS: Final = 999
_TERM: Final = re.compile(
    r"""tags\.(?P<tick>[`"]?)(?P<key>[\w.-]+)(?P=tick)\s*=\s*(?P<q>['"])(?P<value>[^'"]*)(?P=q)"""
)
_AND: Final = re.compile(r"\s+and\s+", re.IGNORECASE)
_STATUS: Final[Mapping[str, str]] = {
    "NotStarted": "SCHEDULED",
    "Queued": "SCHEDULED",
    "Completed": "FINISHED",
    "Failed": "FAILED",
    "Canceled": "KILLED",
}


class MlflowError(ArmError):
    """A request refused the way Azure ML's MLflow service refuses one: its own error, and MLflow's `error_code`."""

    def __init__(self, status: int, error_code: str, message: str) -> None:
        super().__init__(status, "UserError", message)
        self.error_code = error_code

    def response(self) -> JSONResponse:
        """The error document as a response."""
        error = {"code": self.code, "message": self.message}
        body = {"error": error, "error_code": self.error_code, "message": self.message, "statusCode": self.status}
        return JSONResponse(body, self.status)


class Mlflow:
    """The MLflow operations of one local Azure."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def experiment(self, call: ArmCall) -> Response:
        """An experiment by its name."""
        name = call.query("experiment_name") or ""
        if name not in self._experiments(call.workspace_id):
            raise MlflowError(404, "RESOURCE_DOES_NOT_EXIST", f"Could not find experiment with name '{name}'")
        return JSONResponse({"experiment": _experiment(call.workspace_id, name)})

    def experiments(self, call: ArmCall) -> Response:
        """All experiments; filters are not read."""
        found = [_experiment(call.workspace_id, name) for name in self._experiments(call.workspace_id)]
        return _page("experiments", found, call.body)

    def runs(self, call: ArmCall) -> Response:
        """The runs of some experiments that carry all tags of the filter, newest first."""
        wanted: set[str] = set(call.body.get("experiment_ids") or ())
        terms = _terms(call.body.get("filter") or "")
        found = [
            run
            for run in self._runs(call.workspace_id)
            if stable_id(call.workspace_id, run["experiment"]) in wanted and terms.items() <= run["tags"].items()
        ]
        found.sort(key=lambda run: run["started"], reverse=True)
        return _page("runs", [self._run(call.workspace_id, run) for run in found], call.body)

    def run(self, call: ArmCall) -> Response:
        """One run, with the last point of each of its metrics."""
        run_id = call.query("run_id") or ""
        found = next((run for run in self._runs(call.workspace_id) if run["run_id"] == run_id), None)
        if found is None:
            raise MlflowError(404, "RESOURCE_DOES_NOT_EXIST", f"Run '{run_id}' not found")
        shown = self._run(call.workspace_id, found)
        logged = self._cloud.store.get(runs.METRICS_KIND, runs.job_id(call.workspace_id, run_id)) or {"metrics": {}}
        for name, value in logged["metrics"].items():
            shown["data"]["metrics"].append(_point({"key": name, "value": value, "timestamp": 0, "step": 0}))
        return JSONResponse({"run": shown})

    def history(self, call: ArmCall) -> Response:
        """Every point of one metric of one run, as logged."""
        fields = dict(call.request.query_params)
        run_id = fields.get("run_id") or fields.get("run_uuid") or ""
        size = min(_number(fields.get("max_results") or MOST_POINTS, "max_results"), MOST_POINTS)
        job_id = runs.job_id(call.workspace_id, run_id)
        if not (
            metric_runs.is_known(self._cloud, call.workspace_id, run_id) or self._cloud.store.get(runs.KIND, job_id)
        ):
            raise MlflowError(404, "RESOURCE_DOES_NOT_EXIST", f"Run '{run_id}' not found")
        kept = metric_runs.points(self._cloud, call.workspace_id, run_id, fields.get("metric_key", ""))
        return _page("metrics", [_point(point) for point in kept], {**fields, "max_results": size})

    def _experiments(self, workspace_id: str) -> list[str]:
        return list(dict.fromkeys(run["experiment"] for run in self._runs(workspace_id)))

    def _runs(self, workspace_id: str) -> list[Document]:
        return [
            *map(_of_job, runs.jobs_of(self._cloud, workspace_id)),
            *metric_runs.metric_runs(self._cloud, workspace_id),
        ]

    def _run(self, workspace_id: str, run: Document) -> Document:
        # Of a metric with many points a search gives the last one only.
        last = [
            _point(metric_runs.points(self._cloud, workspace_id, run["run_id"], metric)[-1])
            for metric in run["metrics"]
        ]
        info = {
            "run_id": run["run_id"],
            "run_uuid": run["run_id"],
            "run_name": run["name"],
            "experiment_id": stable_id(workspace_id, run["experiment"]),
            "status": run.get("status", "FINISHED"),
            "start_time": run["started"],
            "lifecycle_stage": "active",
        }
        tags = [{"key": key, "value": value} for key, value in run["tags"].items()]
        return {"info": info, "data": {"metrics": last, "params": [], "tags": tags}}


def routes(cloud: Cloud) -> list[Route]:
    """The routes of MLflow's REST API."""
    mlflow = Mlflow(cloud)
    return [
        arm_route(API_PATH + "/experiments/get-by-name", "GET", mlflow.experiment),
        arm_route(API_PATH + "/experiments/search", "POST", mlflow.experiments),
        arm_route(API_PATH + "/runs/search", "POST", mlflow.runs),
        arm_route(API_PATH + "/runs/get", "GET", mlflow.run),
        arm_route(API_PATH + "/metrics/get-history", "GET", mlflow.history),
    ]


def _of_job(job: Document) -> Document:
    details = job["properties"]
    return {
        "run_id": job["name"],
        "name": details["displayName"],
        "experiment": details["experimentName"],
        "tags": details["tags"],
        "started": int(datetime.fromisoformat(job["systemData"]["createdAt"]).timestamp() * 1000),
        "metrics": [],
        "status": _STATUS.get(details["status"], "RUNNING"),
    }


def _experiment(workspace_id: str, name: str) -> Document:
    return {"experiment_id": stable_id(workspace_id, name), "name": name, "lifecycle_stage": "active"}


def _terms(text: str) -> dict[str, str]:
    terms: dict[str, str] = {}
    for part in _AND.split(text.strip()) if text.strip() else ():
        match = _TERM.fullmatch(part.strip())
        if match is None:
            raise MlflowError(400, "BAD_REQUEST", f"The filter '{part}' is not supported.")
        terms[match["key"]] = match["value"]
    return terms


def _point(point: Document) -> Document:
    value: float = point["value"]
    if math.isfinite(value):
        return point
    # Protocol buffers write as text the numbers that JSON does not have.
    return {**point, "value": "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"}


def _page(name: str, items: Sequence[Document], asked: Mapping[str, Any]) -> JSONResponse:
    start = _number(asked.get("page_token") or 0, "page_token")
    end = start + _number(asked.get("max_results") or DEFAULT_PAGE, "max_results")
    following = {"next_page_token": str(end)} if end < len(items) else {}
    return JSONResponse({name: list(items[start:end]), **following})


def _number(value: Any, name: str) -> int:
    try:
        return int(value)
    except ValueError as error:
        raise MlflowError(400, "INVALID_PARAMETER_VALUE", f"{name} must be a number, not '{value}'.") from error
