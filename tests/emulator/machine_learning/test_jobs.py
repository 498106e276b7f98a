"""Jobs of local Azure through the real Azure ML client: their life, their events, and what training leaves behind."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from anew.core.gate import GateOutcome, compare, judge_gate, parse_evaluation
from anew.core.policies.gate import Floor, Gate
from anew.emulator.base.state import Document
from anew.emulator.machine_learning import runs
from anew.emulator.machine_learning.events import RUN_COMPLETED, RUN_STATUS_CHANGED
from anew.emulator.machine_learning.job_runner import JobCanceledError, JobRun
from anew.emulator.machine_learning.runs import record_run
from anew.emulator.workloads.model_io import load_model
from tests.emulator.support import (
    DATA_URI,
    EVALUATE,
    WORKSPACE_ID,
    RunningAzure,
    make_ml_client,
    register,
    run_job,
    run_local_azure,
    submit,
    train_document,
    wait_for_job,
    wait_until,
    write_rows,
)

# The SDK checks a job with schemas that the marshmallow it asks for calls deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::marshmallow.warnings.RemovedInMarshmallow4Warning")


@pytest.fixture
def events(local_azure: RunningAzure) -> list[Document]:
    """Every event the local Azure publishes."""
    seen: list[Document] = []
    local_azure.cloud.on_event(seen.append)
    return seen


def test_training_job_tags_its_data(local_azure: RunningAzure, ml_client: Any, tmp_path: Path) -> None:
    """A training job completes with tags for the rows and the hash of its data."""
    write_rows(local_azure.cloud.folder, 400)

    job = run_job(ml_client, tmp_path, train_document("train-1"))

    assert (job.status, job.experiment_name) == ("Completed", "retraining")
    assert job.tags["anew_retraining_id"] == "r-1"
    assert (job.tags["train_rows"], job.tags["train_from"], job.tags["train_to"]) == ("200", "100", "300")
    assert job.tags["data_hash"].startswith("sha256:")
    assert local_azure.control.job_metrics("train-1")["train_accuracy"] > 0.9


def test_trained_model_predicts_well(local_azure: RunningAzure, ml_client: Any, tmp_path: Path) -> None:
    """A trained model loads from its MLflow folder and predicts well."""
    rows = write_rows(local_azure.cloud.folder, 400)
    run_job(ml_client, tmp_path, train_document("train-1"))

    model = load_model(local_azure.cloud.folder / "runs" / "train-1" / "outputs" / "model")
    predicted = model.predict(["b", "a"], rows[["b", "a"]].to_numpy(dtype=np.float64))

    assert (predicted == rows["target"].to_numpy()).mean() > 0.9


def test_data_hash_follows_the_rows(local_azure: RunningAzure, ml_client: Any, tmp_path: Path) -> None:
    """The same rows give the same data hash, and new rows give another."""
    write_rows(local_azure.cloud.folder, 400)
    first = run_job(ml_client, tmp_path, train_document("train-1"))
    again = run_job(ml_client, tmp_path, train_document("train-2"))
    write_rows(local_azure.cloud.folder, 401)
    moved = run_job(ml_client, tmp_path, train_document("train-3"))

    assert first.tags["data_hash"] == again.tags["data_hash"] != moved.tags["data_hash"]


def test_evaluation_compares_on_same_rows(local_azure: RunningAzure, ml_client: Any, tmp_path: Path) -> None:
    """An evaluation compares both models on the same newest rows."""
    write_rows(local_azure.cloud.folder, 400)
    run_job(ml_client, tmp_path, train_document("small", inputs=_inputs(train_rows=30)))
    register(ml_client, "fraud", "1", "small")
    run_job(ml_client, tmp_path, train_document("large", inputs=_inputs(train_rows=300)))

    job = run_job(ml_client, tmp_path, _evaluation("evaluate-1"))

    assert job.status == "Completed", job.properties
    found = json.loads(job.tags["anew_evaluation"])
    assert found["rows"] == 100
    assert found["challenger_correct"] - found["champion_correct"] == (
        found["only_challenger"] - found["only_champion"]
    )
    assert found["challenger_correct"] > found["champion_correct"] > 0
    assert " " not in job.tags["anew_evaluation"]


def test_evaluation_computes_its_gate(local_azure: RunningAzure, ml_client: Any, tmp_path: Path) -> None:
    """An evaluation computes the gate it is given and stores the scored rows."""
    write_rows(local_azure.cloud.folder, 400)
    run_job(ml_client, tmp_path, train_document("small", inputs=_inputs(train_rows=30)))
    register(ml_client, "fraud", "1", "small")
    run_job(ml_client, tmp_path, train_document("large", inputs=_inputs(train_rows=300)))
    asked = Gate(kind="non_inferiority", metric="auc", floors=(Floor(metric="size_mb", at_most=100.0),))

    document = _evaluation("evaluate-1")
    command = f"{document['command']} --gate '${{{{inputs.gate}}}}' --out ${{{{outputs.scored}}}}"
    inputs = {**document["inputs"], "gate": asked.model_dump_json()}
    outputs = {"scored": {"type": "uri_folder"}}
    job = run_job(ml_client, tmp_path, {**document, "command": command, "inputs": inputs, "outputs": outputs})

    assert job.status == "Completed", job.properties
    judged = judge_gate(asked, parse_evaluation(job.tags["anew_evaluation"]))
    assert judged.outcome is GateOutcome.PROMOTE
    scored = local_azure.cloud.folder / "runs" / "evaluate-1" / "outputs" / "scored" / "scored.parquet"
    assert judge_gate(asked, compare(pd.read_parquet(scored), asked, figures={"size_mb": 1.0})).lower == judged.lower


def test_status_changes_are_published(
    local_azure: RunningAzure, ml_client: Any, tmp_path: Path, events: list[Document]
) -> None:
    """Every status change is published and logged, and success also as a completed run."""
    write_rows(local_azure.cloud.folder)
    run_job(ml_client, tmp_path, train_document("train-1"))
    wait_until(lambda: any(event["eventType"] == RUN_COMPLETED for event in events))

    statuses = [event["data"]["runStatus"] for event in events if event["eventType"] == RUN_STATUS_CHANGED]
    assert statuses == ["NotStarted", "Queued", "Running", "Completed"]
    completed = events[-1]
    assert completed["eventType"] == RUN_COMPLETED
    assert completed["data"]["runTags"]["train_rows"] == "200"
    logged = local_azure.cloud.store.list("log:AmlRunStatusChangedEvent")
    assert [row["Status"] for row in logged] == statuses


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"environment": "azureml:other:1"}, "the environment other:1 is not known"),
        ({"command": "python -m http.server"}, "has no program 'http.server'"),
        ({"command": "rm -rf data"}, "only 'python -m MODULE"),
        ({"inputs": {"data": {"type": "uri_file", "path": DATA_URI.replace("rows", "none")}}}, "there is nothing at"),
    ],
)
def test_impossible_job_fails_with_reason(
    local_azure: RunningAzure, ml_client: Any, tmp_path: Path, changes: dict[str, object], reason: str
) -> None:
    """A job that cannot run fails and says why."""
    write_rows(local_azure.cloud.folder)
    command = {"command": "python -m anew.emulator.workloads.train"} if "inputs" in changes else {}

    job = run_job(ml_client, tmp_path, train_document("train-1", **command, **changes))

    assert job.status == "Failed"
    assert reason in job.properties["local_azure.error"]


def test_duplicate_job_name_is_refused(local_azure: RunningAzure, ml_client: Any, tmp_path: Path) -> None:
    """A second job of the same name is refused as immutable."""
    write_rows(local_azure.cloud.folder)
    submit(ml_client, tmp_path, train_document("train-1"))

    with pytest.raises(HttpResponseError, match="A job with this name already exists") as refused:
        submit(ml_client, tmp_path, train_document("train-1"))

    assert refused.value.status_code == 400
    assert refused.value.error is not None
    assert refused.value.error.code == "UserError"
    assert "JobPropertyImmutable" in str(refused.value.error.innererror)
    assert len(local_azure.control.journal("job.created")) == 1


def test_job_list_pages_and_filters(local_azure: RunningAzure, ml_client: Any) -> None:
    """The list of jobs is paged and filters by tag key."""
    for number in range(33):
        tags = {"odd": "1"} if number % 2 else {}
        _record(local_azure, f"job-{number}", tags=tags)

    assert {job.name for job in ml_client.jobs.list()} == {f"job-{number}" for number in range(33)}
    assert {job.name for job in ml_client.jobs.list(tag="odd")} == {f"job-{number}" for number in range(1, 33, 2)}


def test_child_runs_are_not_roots(local_azure: RunningAzure, ml_client: Any) -> None:
    """Child runs are listed by their parent and not among the root runs."""
    for name, parent in (("monitor-1", None), ("step-1", "monitor-1")):
        _record(local_azure, name, tags={"found": name}, parent=parent)

    assert [job.name for job in ml_client.jobs.list(parent_job_name="monitor-1")] == ["step-1"]
    assert [job.name for job in ml_client.jobs.list()] == ["monitor-1"]
    assert ml_client.jobs.get("step-1").tags == {"found": "step-1"}


def test_unknown_job_is_not_found(ml_client: Any) -> None:
    """An unknown job is not found."""
    with pytest.raises(ResourceNotFoundError):
        ml_client.jobs.get("nobody")


@pytest.mark.parametrize("async_operations", [False, True])
def test_queued_job_can_be_canceled(
    local_azure: RunningAzure, ml_client: Any, tmp_path: Path, *, async_operations: bool
) -> None:
    """A job that is canceled while it waits ends as canceled, and the others complete."""
    write_rows(local_azure.cloud.folder, 1000)
    local_azure.control.set_modes(async_operations=async_operations)
    names = [f"train-{number}" for number in range(4)]
    for name in names:
        submit(ml_client, tmp_path, train_document(name, inputs=_inputs(train_rows=900)))

    # Two run at a time, so the last one is still waiting.
    ml_client.jobs.begin_cancel(names[-1]).result()

    assert wait_for_job(ml_client, names[-1]).status == "Canceled"
    assert [wait_for_job(ml_client, name).status for name in names[:-1]] == ["Completed"] * 3


def test_interrupted_job_runs_again(tmp_path: Path) -> None:
    """A job that a restart interrupts runs again."""
    folder = tmp_path / "azure"
    write_rows(folder)
    with run_local_azure(folder) as azure:
        client = make_ml_client(azure)
        run_job(client, tmp_path, train_document("train-1"))
        job = azure.cloud.store.list("job")[0]
        job["properties"]["status"] = "Running"
        azure.cloud.store.put("job", job["id"], job)

    with run_local_azure(folder) as azure:
        assert wait_for_job(make_ml_client(azure), "train-1").status == "Completed"
        statuses = [entry.get("status") for entry in azure.control.journal("job.status")]
    assert statuses[-2:] == ["Running", "Completed"]


def test_canceled_running_job_never_completes(local_azure: RunningAzure, events: list[Document]) -> None:
    """A job that is canceled while running ends as canceled and never as completed."""
    job = _record(local_azure, "job-1", status="Running")
    run = JobRun(local_azure.cloud, job["id"])

    runs.request_cancel(local_azure.cloud, job["id"])
    with pytest.raises(JobCanceledError):
        run.set_tag("train_rows", "200")
    runs.finish(local_azure.cloud, job["id"], "Completed")

    statuses = [event["data"]["runStatus"] for event in events if event["eventType"] == RUN_STATUS_CHANGED]
    assert statuses == ["CancelRequested", "Canceled"]


def _record(
    azure: RunningAzure,
    name: str,
    *,
    tags: dict[str, str] | None = None,
    status: str = "Completed",
    parent: str | None = None,
) -> Document:
    return record_run(
        azure.cloud,
        WORKSPACE_ID,
        name,
        experiment="monitor",
        status=status,
        tags=tags or {},
        properties={},
        parent=parent,
    )


def _inputs(*, train_rows: int) -> dict[str, object]:
    return {"data": {"type": "uri_file", "path": DATA_URI}, "train_rows": train_rows, "holdout_rows": 100}


def _evaluation(name: str) -> dict[str, object]:
    inputs = {
        "data": {"type": "uri_file", "path": DATA_URI},
        "rows": 100,
        "champion": {"type": "mlflow_model", "path": "azureml:fraud:1"},
        "challenger": {"type": "mlflow_model", "path": "azureml://jobs/large/outputs/model"},
    }
    return {**train_document(name), "command": EVALUATE, "inputs": inputs, "outputs": {}}
