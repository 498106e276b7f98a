"""Runs and jobs that only wait: they hold no thread, end at their time, and can be cancelled meanwhile."""

import json
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from azure.mgmt.datafactory import DataFactoryManagementClient

from anew.emulator.arm.credentials import EmulatorCredential
from anew.emulator.base.state import Document
from anew.emulator.data_factory.run import RUNS
from anew.emulator.data_factory.runner import PipelineRunner
from anew.emulator.machine_learning.events import RUN_COMPLETED, RUN_STATUS_CHANGED
from anew.emulator.machine_learning.job_runner import DUE_KIND, WORKERS
from anew.emulator.workloads.model_io import load_model
from tests.emulator.support import RESOURCE_GROUP, SUBSCRIPTION, WORKSPACE_ID, RunningAzure, run_local_azure, wait_until

FACTORY = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{RESOURCE_GROUP}/providers/Microsoft.DataFactory/factories/f"
PIPELINE_WORKERS = 16
OVER = {"Completed", "Failed", "Canceled"}


class Arm:
    """Resource Manager of one local Azure, by plain HTTP."""

    def __init__(self, azure: RunningAzure) -> None:
        self.azure = azure
        token = EmulatorCredential().get_token("arm").token
        self._headers = {"Authorization": f"Bearer {token}"}

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        answer = httpx.request(
            method, self.azure.base_url + path, json=body, headers=self._headers, trust_env=False, timeout=30
        )
        assert answer.is_success, answer.text
        return answer.json() if answer.content else {}

    def publish(self, name: str, activities: list[Document], **properties: Any) -> None:
        self("PUT", f"{FACTORY}/pipelines/{name}", {"properties": {"activities": activities, **properties}})

    def start(self, name: str, **parameters: Any) -> str:
        return self("POST", f"{FACTORY}/pipelines/{name}/createRun", parameters)["runId"]

    def run(self, run_id: str) -> Document:
        return self("GET", f"{FACTORY}/pipelineruns/{run_id}")

    def end(self, run_id: str) -> Document:
        def ended() -> Any:
            run = self.run(run_id)
            return run if run["runEnd"] else None

        return wait_until(ended)

    def pause(self, name: str, *arguments: str, **properties: Any) -> None:
        self("PUT", f"{WORKSPACE_ID}/jobs/{name}", {"properties": pausing(*arguments) | properties})

    def job(self, name: str) -> Document:
        return self("GET", f"{WORKSPACE_ID}/jobs/{name}")["properties"]

    def over(self, name: str) -> Document:
        def over() -> Any:
            job = self.job(name)
            return job if job["status"] in OVER else None

        return wait_until(over)

    def reach(self, name: str, status: str) -> None:
        wait_until(lambda: self.job(name)["status"] == status)


def pausing(*arguments: str) -> Document:
    return {
        "jobType": "Command",
        "command": " ".join(["python -m anew.emulator.workloads.pause", *arguments]),
        "environmentId": f"{WORKSPACE_ID}/environments/anew-samples/versions/1",
    }


def wait(seconds: float, name: str = "W") -> Document:
    return {"name": name, "type": "Wait", "typeProperties": {"waitTimeInSeconds": seconds}}


def web(name: str, method: str, path: str, body: Document | None = None) -> Document:
    properties: Document = {"method": method, "url": "https://management.azure.com" + path, "body": body}
    return {"name": name, "type": "WebActivity", "typeProperties": properties | {"authentication": {"type": "MSI"}}}


@pytest.fixture
def arm(local_azure: RunningAzure) -> Arm:
    local_azure.control.set_modes(wait_scale=1.0)
    return Arm(local_azure)


@pytest.fixture
def events(local_azure: RunningAzure) -> list[Document]:
    seen: list[Document] = []
    local_azure.cloud.on_event(seen.append)
    return seen


def statuses(events: list[Document], name: str) -> list[str]:
    of_job = [event["data"] for event in events if event["eventType"] == RUN_STATUS_CHANGED]
    return [data["runStatus"] for data in of_job if data["runId"] == name]


def test_waiting_runs_block_no_workers(arm: Arm) -> None:
    """A run ends although more runs are waiting than there are workers."""
    arm.publish("long", [wait(3600)])
    arm.publish("short", [wait(0)])
    waiting = [arm.start("long") for _ in range(PIPELINE_WORKERS * 3)]
    assert arm.end(arm.start("short"))["status"] == "Succeeded"
    assert {arm.run(run_id)["status"] for run_id in waiting} == {"InProgress"}


def test_waiting_uses_no_threads(arm: Arm) -> None:
    """Waiting runs and jobs use no threads."""
    arm.publish("long", [wait(3600)])
    for number in range(30):
        arm.start("long")
        arm.pause(f"job-{number}", "--seconds 3600")
    arm.reach("job-29", "Running")
    before = threading.active_count()
    for number in range(30, 60):
        arm.start("long")
        arm.pause(f"job-{number}", "--seconds 3600")
    arm.reach("job-59", "Running")
    # Starlette's own worker threads come and go.
    assert threading.active_count() - before < 10


def test_wait_lasts_its_seconds(arm: Arm) -> None:
    """A wait lasts its seconds."""
    arm.publish("wait", [wait(0.4)])
    assert arm.end(arm.start("wait"))["durationInMs"] >= 400


def test_loop_waits_in_each_round(arm: Arm) -> None:
    """A loop waits in each round and reports its iteration count afterwards."""
    grow = {
        "name": "Grow",
        "type": "SetVariable",
        "dependsOn": [{"activity": "W", "dependencyConditions": ["Succeeded"]}],
        "typeProperties": {"variableName": "next", "value": "@concat(variables('kept'), 'x')"},
    }
    keep = {
        "name": "Keep",
        "type": "SetVariable",
        "dependsOn": [{"activity": "Grow", "dependencyConditions": ["Succeeded"]}],
        "typeProperties": {"variableName": "kept", "value": "@variables('next')"},
    }
    condition = {"type": "Expression", "value": "@equals(variables('kept'), 'xxx')"}
    until = {
        "name": "U",
        "type": "Until",
        "typeProperties": {"expression": condition, "activities": [wait(0.1), grow, keep]},
    }
    variables = {"kept": {"type": "String", "defaultValue": ""}, "next": {"type": "String"}}
    arm.publish("loop", [until], variables=variables)
    run_id = arm.start("loop")
    run = arm.end(run_id)
    assert (run["status"], run["durationInMs"] >= 300) == ("Succeeded", True)
    runs = arm.azure.cloud.store.list("activity_run", f"{FACTORY}/{run_id}/")
    assert [each["activityName"] for each in runs].count("W") == 3
    assert runs[-1]["output"] == {"iterationCount": 3}


def test_condition_is_evaluated_once(arm: Arm) -> None:
    """A condition is evaluated once, although its branch waits."""
    off = {
        "name": "Off",
        "type": "SetVariable",
        "typeProperties": {"variableName": "on", "value": "no"},
    }
    late = wait(0.05) | {"dependsOn": [{"activity": "Off", "dependencyConditions": ["Succeeded"]}]}
    fail = {"name": "Never", "type": "Fail", "typeProperties": {"message": "wrong branch", "errorCode": "1"}}
    branch = {
        "name": "If",
        "type": "IfCondition",
        "typeProperties": {
            "expression": {"type": "Expression", "value": "@equals(variables('on'), 'yes')"},
            "ifTrueActivities": [off, late],
            "ifFalseActivities": [fail],
        },
    }
    arm.publish("if", [branch], variables={"on": {"type": "String", "defaultValue": "yes"}})
    assert arm.end(arm.start("if"))["status"] == "Succeeded"


def test_failed_activity_is_retried(arm: Arm) -> None:
    """A failed activity is retried after its interval."""
    arm.azure.control.set_modes(wait_scale=0.01)
    arm.azure.control.set_faults({"kind": "status", "status": 500, "path": "/jobs$", "times": 2})
    policy = {"retry": 2, "retryIntervalInSeconds": 30}
    arm.publish("retry", [web("Read", "GET", f"{WORKSPACE_ID}/jobs") | {"policy": policy}])
    run = arm.end(arm.start("retry"))
    assert (run["status"], run["durationInMs"] >= 600) == ("Succeeded", True)
    runs = arm.azure.cloud.store.list("activity_run", f"{FACTORY}/{run['runId']}/")
    assert [each["status"] for each in runs] == ["Failed", "Failed", "Succeeded"]


def test_waiting_run_is_cancelled_immediately(arm: Arm) -> None:
    """A waiting run is cancelled immediately."""
    arm.publish("long", [wait(3600)])
    run_id = arm.start("long")
    wait_until(lambda: arm.run(run_id)["status"] == "InProgress")
    arm("POST", f"{FACTORY}/pipelineruns/{run_id}/cancel")
    assert arm.end(run_id)["status"] == "Cancelled"


@pytest.mark.parametrize("recursive", [False, True])
def test_cancelled_run_leaves_its_job(local_azure: RunningAzure, arm: Arm, *, recursive: bool) -> None:
    """A cancelled run does not stop the job that its activity started."""
    start = web("Start", "PUT", f"{WORKSPACE_ID}/jobs/of-run", {"properties": pausing("--seconds 0.5")})
    then = wait(3600) | {"dependsOn": [{"activity": "Start", "dependencyConditions": ["Succeeded"]}]}
    arm.publish("trains", [start, then])
    run_id = arm.start("trains")
    wait_until(lambda: bool(local_azure.control.journal("job.created")))
    arm.reach("of-run", "Running")
    at = local_azure.connection
    client: Any = DataFactoryManagementClient(
        at.credential, SUBSCRIPTION, base_url=at.base_url, per_call_policies=at.policies()
    )
    client.pipeline_runs.cancel(RESOURCE_GROUP, "f", run_id, is_recursive=recursive)
    assert arm.end(run_id)["status"] == "Cancelled"
    assert arm.over("of-run")["status"] == "Completed"


def test_late_cancel_changes_nothing(arm: Arm, events: list[Document]) -> None:
    """A cancel of an ended run or job succeeds and changes nothing."""
    arm.publish("short", [wait(0)])
    run = arm.end(arm.start("short"))
    arm.pause("job", "--seconds 0")
    job = arm.over("job")
    seen = len(events)
    arm("POST", f"{FACTORY}/pipelineruns/{run['runId']}/cancel")
    arm("POST", f"{WORKSPACE_ID}/jobs/job/cancel")
    assert (arm.run(run["runId"]), arm.job("job"), len(events)) == (run, job, seen)


def test_journal_records_runs_and_jobs(arm: Arm) -> None:
    """The journal records the creation, cancellation and end of runs and jobs."""
    arm.publish("long", [wait(3600)])
    run_id = arm.start("long", anew_retraining_id="r-1")
    arm("POST", f"{FACTORY}/pipelineruns/{run_id}/cancel")
    arm.end(run_id)
    arm.pause("job", "--seconds 3600", tags={"anew_retraining_id": "r-1"})
    arm.reach("job", "Running")
    arm("POST", f"{WORKSPACE_ID}/jobs/job/cancel")
    arm.over("job")

    told: list[Any] = [entry for entry in arm.azure.control.journal() if entry["action"].startswith(("pipe", "job"))]
    run, *_ = [entry for entry in told if entry["action"] == "pipeline_run.created"]
    assert (run["run_id"], run["parameters"]) == (run_id, {"anew_retraining_id": "r-1"})
    [job] = [entry for entry in told if entry["action"] == "job.created"]
    assert (job["name"], job["tags"]) == ("job", {"anew_retraining_id": "r-1"})
    actions = [entry["action"] for entry in told if entry["action"] != "job.status"]
    assert actions == [
        "pipeline_run.created",
        "pipeline_run.cancel_requested",
        "pipeline_run.ended",
        "job.created",
        "job.cancel_requested",
        "job.ended",
    ]
    assert [entry["status"] for entry in told if entry["action"].endswith(".ended")] == ["Cancelled", "Canceled"]


def test_pause_job_leaves_its_results(arm: Arm, events: list[Document]) -> None:
    """A pause job ends after its seconds and leaves tags, an evaluation and a model."""
    evaluation = json.dumps({"task": "classification", "rows": 3})
    arm.pause(
        "job",
        "--seconds 0.3 --tag data_hash=abc --tag note='a b'",
        "--evaluation ${{inputs.evaluation}} --out ${{outputs.model}}",
        inputs={"evaluation": {"jobInputType": "literal", "value": evaluation}},
        outputs={"model": {"jobOutputType": "mlflow_model"}},
        tags={"anew_retraining_id": "r"},
    )
    began = time.monotonic()
    job = arm.over("job")
    assert time.monotonic() - began >= 0.25
    assert job["status"] == "Completed"
    assert job["tags"] == {
        "anew_retraining_id": "r",
        "data_hash": "abc",
        "note": "a b",
        "anew_evaluation": evaluation,
    }
    model = load_model(arm.azure.cloud.folder / "runs" / "job" / "outputs" / "model")
    assert model.predict(["any"], np.ones((2, 1))).tolist() == [0, 0]
    assert statuses(events, "job") == ["NotStarted", "Queued", "Running", "Completed"]
    assert [event["eventType"] for event in events][-1] == RUN_COMPLETED


def test_pause_job_can_fail(arm: Arm, events: list[Document]) -> None:
    """A pause job can be configured to end as failed."""
    arm.pause("job", "--seconds 0 --status failed")
    job = arm.over("job")
    assert (job["status"], "ask for a job that fails" in job["properties"]["local_azure.error"]) == ("Failed", True)
    assert statuses(events, "job")[-1] == "Failed"


def test_pause_job_checks_its_arguments(arm: Arm) -> None:
    """A pause job with wrong arguments fails."""
    arm.pause("job", "--minutes 1")
    assert arm.over("job")["status"] == "Failed"


def test_paused_job_is_canceled_immediately(arm: Arm, events: list[Document]) -> None:
    """A pausing job is canceled immediately and never completes."""
    arm.pause("job", "--seconds 3600", "--out ${{outputs.model}}", outputs={"model": {}})
    arm.reach("job", "Running")
    arm("POST", f"{WORKSPACE_ID}/jobs/job/cancel")
    assert arm.over("job")["status"] == "Canceled"
    assert statuses(events, "job")[-2:] == ["CancelRequested", "Canceled"]
    assert arm.azure.cloud.store.list(DUE_KIND) == []


def test_paused_jobs_block_no_others(arm: Arm) -> None:
    """Pausing jobs do not block other jobs."""
    for number in range(WORKERS * 3):
        arm.pause(f"long-{number}", "--seconds 3600")
    arm.pause("short", "--seconds 0")
    assert arm.over("short")["status"] == "Completed"


def test_interrupted_pause_ends_on_time(tmp_path: Path) -> None:
    """A pause job that a restart interrupts ends at its due time and runs once."""
    with run_local_azure(tmp_path) as azure:
        arm = Arm(azure)
        arm.pause("early", "--seconds 1")
        arm.pause("late", "--seconds 3600")
        arm.reach("late", "Running")
        due = {name: azure.cloud.store.get(DUE_KIND, f"{WORKSPACE_ID}/jobs/{name}") for name in ("early", "late")}
    with run_local_azure(tmp_path) as azure:
        arm = Arm(azure)
        assert arm.over("early")["status"] == "Completed"
        assert time.time() >= (due["early"] or {})["due"]
        assert azure.cloud.store.get(DUE_KIND, f"{WORKSPACE_ID}/jobs/late") == due["late"]
        told = [entry.get("status") for entry in azure.control.journal("job.status") if entry.get("name") == "early"]
        assert told == ["NotStarted", "Queued", "Running", "Completed"]


def test_interrupted_wait_ends_on_time(tmp_path: Path) -> None:
    """A wait that a restart interrupts ends at its due time."""
    with run_local_azure(tmp_path) as azure:
        azure.control.set_modes(wait_scale=1.0)
        arm = Arm(azure)
        arm.publish("wait", [wait(1.5)])
        run_id = arm.start("wait")
        wait_until(lambda: bool(azure.cloud.store.list(RUNS)[0]["progress"]))
    with run_local_azure(tmp_path) as azure:
        run = Arm(azure).end(run_id)
        assert run["status"] == "Succeeded"
        assert 1500 <= run["durationInMs"] < 3000


def test_crashed_activity_adopts_its_job(tmp_path: Path) -> None:
    """An activity interrupted by a crash adopts the job it created before."""
    with run_local_azure(tmp_path) as azure:
        azure.control.set_modes(wait_scale=1.0)
        arm = Arm(azure)
        start = web("Start", "PUT", f"{WORKSPACE_ID}/jobs/of-run", {"properties": pausing("--seconds 0")})
        arm.publish("trains", [start])
        # The job is there, and the activity never hears of it.
        azure.control.set_faults({"kind": "hang", "methods": ["PUT"], "path": "/jobs/", "when": "after", "times": 1})
        run_id = arm.start("trains")
        wait_until(lambda: bool(azure.control.journal("job.ended")))
        azure.cloud.service(PipelineRunner)._stopping.set()
    with run_local_azure(tmp_path) as azure:
        arm = Arm(azure)
        assert (arm.end(run_id)["status"], arm.end(run_id)["message"]) == ("Succeeded", "")
        assert len(azure.control.journal("job.created")) == 1


def test_duplicate_job_fails_the_activity(arm: Arm) -> None:
    """A second run cannot create a job of the same name, and its activity fails."""
    start = web("Start", "PUT", f"{WORKSPACE_ID}/jobs/of-run", {"properties": pausing("--seconds 0")})
    arm.publish("trains", [start])
    assert arm.end(arm.start("trains"))["status"] == "Succeeded"
    second = arm.end(arm.start("trains"))
    assert (second["status"], "already exists" in second["message"]) == ("Failed", True)
