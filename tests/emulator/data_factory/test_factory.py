"""Data Factory through its real SDK, sync and aio: runs that run, queries that page, restarts that lose nothing."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.core.pipeline.transport import AsyncioRequestsTransport
from azure.mgmt.datafactory import DataFactoryManagementClient
from azure.mgmt.datafactory.aio import DataFactoryManagementClient as AsyncDataFactoryManagementClient

from anew.emulator.data_factory.activities import duration_seconds
from tests.emulator.support import (
    DATA_URI,
    RESOURCE_GROUP,
    SUBSCRIPTION,
    WORKSPACE,
    RunningAzure,
    make_ml_client,
    run_local_azure,
    wait_until,
    write_rows,
)

FACTORY = "adf-anew"
PIPELINE_FILE = Path(__file__).parents[3] / "azure" / "elec2-retrain.pipeline.json"
ENDED = {"Succeeded", "Failed", "Cancelled"}


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAzure]:
    with run_local_azure(tmp_path_factory.mktemp("adf")) as running:
        yield running


def make_client(azure: RunningAzure) -> Any:
    at = azure.connection
    return DataFactoryManagementClient(
        at.credential, SUBSCRIPTION, base_url=at.base_url, per_call_policies=at.policies()
    )


@pytest.fixture(scope="module")
def client(azure: RunningAzure) -> Any:
    return make_client(azure)


def put(client: Any, name: str, activities: list[dict[str, Any]], **properties: Any) -> None:
    client.pipelines.create_or_update(
        RESOURCE_GROUP, FACTORY, name, {"properties": {"activities": activities} | properties}
    )


def start(client: Any, name: str, **parameters: Any) -> str:
    return client.pipelines.create_run(RESOURCE_GROUP, FACTORY, name, parameters=parameters).run_id


def end_of(client: Any, run_id: str, *, seconds: float = 15.0) -> Any:
    def ended() -> Any:
        run = client.pipeline_runs.get(RESOURCE_GROUP, FACTORY, run_id)
        return run if run.status in ENDED else None

    return wait_until(ended, seconds=seconds)


def window(**more: Any) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "lastUpdatedAfter": (now - timedelta(hours=1)).isoformat(),
        "lastUpdatedBefore": (now + timedelta(hours=1)).isoformat(),
    } | more


def activity_runs(client: Any, run_id: str) -> dict[str, Any]:
    answer = client.activity_runs.query_by_pipeline_run(RESOURCE_GROUP, FACTORY, run_id, window())
    return {run.activity_name: run for run in answer.value}


def wait(name: str, seconds: float, *after: str, on: str = "Succeeded") -> dict[str, Any]:
    depends = [{"activity": each, "dependencyConditions": [on]} for each in after]
    return {"name": name, "type": "Wait", "dependsOn": depends, "typeProperties": {"waitTimeInSeconds": seconds}}


def test_shipped_pipeline_trains_a_model(azure: RunningAzure, client: Any) -> None:
    """The shipped pipeline trains a real model in a job of Azure ML."""
    write_rows(azure.cloud.folder)
    client.pipelines.create_or_update(RESOURCE_GROUP, FACTORY, "retrain", json.loads(PIPELINE_FILE.read_text()))
    run_id = start(
        client,
        "retrain",
        anew_retraining_id="r-7",
        anew_job_name="retrain-r-7",
        subscription_id=SUBSCRIPTION,
        resource_group=RESOURCE_GROUP,
        workspace=WORKSPACE,
        data=DATA_URI,
        train_rows=200,
        holdout_rows=100,
    )
    run = end_of(client, run_id, seconds=60)
    assert (run.status, run.message) == ("Succeeded", "")
    job = make_ml_client(azure).jobs.get("retrain-r-7")
    assert (job.status, job.tags["anew_retraining_id"]) == ("Completed", "r-7")
    assert "${{inputs.train_rows}}" in job.command
    assert (azure.cloud.folder / "runs" / "retrain-r-7" / "outputs" / "model" / "MLmodel").is_file()
    assert "JobDidNotComplete" not in activity_runs(client, run_id)


def test_shipped_pipeline_reports_failed_job(client: Any) -> None:
    """The shipped pipeline fails with a clear message when its job fails."""
    client.pipelines.create_or_update(RESOURCE_GROUP, FACTORY, "retrain", json.loads(PIPELINE_FILE.read_text()))
    run_id = start(
        client,
        "retrain",
        anew_retraining_id="r-8",
        anew_job_name="retrain-r-8",
        subscription_id=SUBSCRIPTION,
        resource_group=RESOURCE_GROUP,
        workspace=WORKSPACE,
        data="azureml://datastores/workspaceblobstore/paths/streams/missing.parquet",
        train_rows=200,
        holdout_rows=100,
    )
    run = end_of(client, run_id, seconds=60)
    assert run.status == "Failed"
    assert "The job retrain-r-8 ended as Failed." in run.message


def test_parameters_get_defaults(client: Any) -> None:
    """Declared parameters get their defaults, and undeclared ones are kept."""
    put(client, "parameters", [wait("W", 0)], parameters={"a": {"type": "String", "defaultValue": "x"}})
    run = end_of(client, start(client, "parameters", anew_retraining_id="r-1", rows=3))
    assert run.parameters == {"a": "x", "anew_retraining_id": "r-1", "rows": "3"}


def test_missing_parameter_is_refused(client: Any) -> None:
    """A run without a required parameter is refused."""
    put(client, "required", [wait("W", 0)], parameters={"a": {"type": "String"}})
    with pytest.raises(HttpResponseError, match="parameter 'a'"):
        start(client, "required")


def test_unknown_pipeline_is_not_found(client: Any) -> None:
    """An unknown pipeline and an unknown run are not found."""
    with pytest.raises(ResourceNotFoundError):
        start(client, "nobody-made-it")
    with pytest.raises(ResourceNotFoundError):
        client.pipeline_runs.get(RESOURCE_GROUP, FACTORY, "no-such-run")


def test_unknown_function_fails_the_run(client: Any) -> None:
    """An unknown function fails the run, and the message names it."""
    put(client, "function", [wait("W", 0) | {"typeProperties": {"waitTimeInSeconds": "@ticks('x')"}}])
    run = end_of(client, start(client, "function"))
    assert run.status == "Failed"
    assert "Operation on target W failed: The function 'ticks'" in run.message


def test_dependency_conditions_pick_the_branch(client: Any) -> None:
    """After a failure the dependency conditions decide which activities run."""
    fail = {"name": "F", "type": "Fail", "typeProperties": {"message": "no @{pipeline().Pipeline}", "errorCode": "7"}}
    put(client, "branches", [fail, wait("OnFailure", 0, "F", on="Failed"), wait("OnSuccess", 0, "F")])
    run_id = start(client, "branches")
    run, activities = end_of(client, run_id), activity_runs(client, run_id)
    assert {name: each.status for name, each in activities.items()} == {
        "F": "Failed",
        "OnFailure": "Succeeded",
        "OnSuccess": "Skipped",
    }
    assert (run.status, run.message) == ("Failed", "Operation on target F failed: no branches")
    assert activities["F"].error["errorCode"] == "7"


def test_until_repeats_its_activities(client: Any) -> None:
    """An Until activity repeats until its expression is true and counts its iterations."""
    grow = {
        "name": "Grow",
        "type": "SetVariable",
        "typeProperties": {"variableName": "next", "value": "@concat(variables('kept'), 'x')"},
    }
    keep = {
        "name": "Keep",
        "type": "SetVariable",
        "dependsOn": [{"activity": "Grow", "dependencyConditions": ["Succeeded"]}],
        "typeProperties": {"variableName": "kept", "value": "@variables('next')"},
    }
    until = {
        "name": "U",
        "type": "Until",
        "typeProperties": {
            "expression": {"type": "Expression", "value": "@equals(variables('kept'), 'xxx')"},
            "activities": [grow, keep],
        },
    }
    variables = {"kept": {"type": "String", "defaultValue": ""}, "next": {"type": "String"}}
    put(client, "until", [until], variables=variables)
    run_id = start(client, "until")
    assert end_of(client, run_id).status == "Succeeded"
    assert activity_runs(client, run_id)["U"].output == {"iterationCount": 3}


def test_web_activity_stays_on_loopback(client: Any) -> None:
    """A web activity to another machine fails the run."""
    call = {"name": "Out", "type": "WebActivity", "typeProperties": {"method": "GET", "url": "https://example.com/"}}
    put(client, "outside", [call])
    run = end_of(client, start(client, "outside"))
    assert run.status == "Failed"
    assert "only addresses on this machine" in run.message


def test_cancelled_run_stays_cancelled(client: Any) -> None:
    """A cancelled run ends as cancelled and a second cancel changes nothing."""
    put(client, "long", [wait("W", 100_000)])
    run_id = start(client, "long")
    client.pipeline_runs.cancel(RESOURCE_GROUP, FACTORY, run_id)
    assert end_of(client, run_id).status == "Cancelled"
    client.pipeline_runs.cancel(RESOURCE_GROUP, FACTORY, run_id)
    assert client.pipeline_runs.get(RESOURCE_GROUP, FACTORY, run_id).status == "Cancelled"


def test_query_filters_orders_and_pages(azure: RunningAzure, client: Any) -> None:
    """A query of runs filters, orders and pages as requested."""
    put(client, "queried", [wait("W", 0)])
    put(client, "other", [wait("W", 0)])
    ids = [start(client, "queried") for _ in range(5)]
    start(client, "other")
    for run_id in ids:
        end_of(client, run_id)
    azure.control.set_modes(pipeline_run_page_size=2)
    filters = [
        {"operand": "PipelineName", "operator": "Equals", "values": ["queried"]},
        {"operand": "Status", "operator": "In", "values": ["Succeeded"]},
    ]
    query = window(filters=filters, orderBy=[{"orderBy": "RunStart", "order": "DESC"}])
    found: list[str] = []
    token: str | None = None
    while True:
        page = client.pipeline_runs.query_by_factory(
            RESOURCE_GROUP, FACTORY, query | ({"continuationToken": token} if token else {})
        )
        assert len(page.value) <= 2
        found += [run.run_id for run in page.value]
        token = page.continuation_token
        if not token:
            break
    azure.control.set_modes(pipeline_run_page_size=100)
    assert found == ids[::-1]


def test_query_respects_its_time_window(client: Any) -> None:
    """A query finds no runs outside its time window."""
    past = datetime.now(UTC) - timedelta(days=2)
    query = {"lastUpdatedAfter": (past - timedelta(days=1)).isoformat(), "lastUpdatedBefore": past.isoformat()}
    assert client.pipeline_runs.query_by_factory(RESOURCE_GROUP, FACTORY, query).value == []


def test_unknown_query_operand_is_refused(client: Any) -> None:
    """A query with an unknown operand is refused."""
    filters = [{"operand": "Parameters", "operator": "Equals", "values": ["x"]}]
    with pytest.raises(HttpResponseError, match="operand"):
        client.pipeline_runs.query_by_factory(RESOURCE_GROUP, FACTORY, window(filters=filters))


def test_aio_client_starts_and_reads(azure: RunningAzure, client: Any) -> None:
    """The asynchronous client starts a run and finds it by a query."""
    put(client, "aio", [wait("W", 0)])
    at = azure.connection

    async def start_and_query() -> tuple[str, list[str]]:
        transport: Any = AsyncioRequestsTransport()
        runner: Any = AsyncDataFactoryManagementClient(
            at.async_credential,
            SUBSCRIPTION,
            base_url=at.base_url,
            per_call_policies=at.policies(),
            transport=transport,
        )
        async with runner:
            created = await runner.pipelines.create_run(RESOURCE_GROUP, FACTORY, "aio", parameters={"k": "v"})
            found = await runner.pipeline_runs.query_by_factory(RESOURCE_GROUP, FACTORY, window())
            return created.run_id, [run.run_id for run in found.value if run.parameters.get("k") == "v"]

    run_id, matching = asyncio.run(start_and_query())
    assert matching == [run_id]


def test_run_statuses_are_logged(azure: RunningAzure, client: Any) -> None:
    """Every status of a run becomes a row in the logs."""
    put(client, "logged", [wait("W", 0)])
    run_id = start(client, "logged")
    end_of(client, run_id)
    rows = [row for row in azure.cloud.store.list("log:ADFPipelineRun") if row["RunId"] == run_id]
    assert [row["Status"] for row in rows] == ["Queued", "InProgress", "Succeeded"]


def test_restart_repeats_no_finished_activity(tmp_path: Path) -> None:
    """After a restart a run continues and does not repeat finished activities."""
    with run_local_azure(tmp_path / "azure") as first:
        client = make_client(first)
        put(client, "resumed", [wait("Before", 0), wait("Long", 50, "Before"), wait("After", 0, "Long")])
        first.control.set_modes(wait_scale=1.0)
        run_id = start(client, "resumed")
        wait_until(lambda: activity_runs(client, run_id).get("Before"))
    with run_local_azure(tmp_path / "azure") as second:
        client = make_client(second)
        assert client.pipeline_runs.get(RESOURCE_GROUP, FACTORY, run_id).status == "InProgress"
        client.pipeline_runs.cancel(RESOURCE_GROUP, FACTORY, run_id)
        assert end_of(client, run_id).status == "Cancelled"
        runs = client.activity_runs.query_by_pipeline_run(RESOURCE_GROUP, FACTORY, run_id, window()).value
        assert [run.activity_name for run in runs] == ["Before"]


@pytest.mark.parametrize(("text", "seconds"), [("0.00:05:00", 300.0), ("1.00:00:01", 86401.0), ("12:00:00", 43200.0)])
def test_time_span_is_read_in_seconds(text: str, seconds: float) -> None:
    """A time span of .NET is read in seconds."""
    assert duration_seconds(text) == seconds
