"""The run metrics of monitors over MLflow's REST API: a series for each feature, a reading for each batch."""

import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from azure.ai.ml.entities import ManagedOnlineEndpoint

from anew.emulator.client import Monitor
from anew.emulator.machine_learning.metric_runs import next_step, publish_metrics
from anew.emulator.machine_learning.mlflow import MOST_POINTS
from anew.emulator.machine_learning.runs import record_run
from tests.emulator.support import (
    WORKSPACE,
    WORKSPACE_ID,
    RunningAzure,
    deploy,
    make_ml_client,
    register,
    run_local_azure,
    save_threshold_model,
    set_traffic,
)

ENDPOINT = "fraud-api"
ROWS = 100
BATCHES = 10
TOKEN = {"Authorization": "Bearer t"}


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAzure]:
    """An endpoint, and a data set of which one feature shifts from the sixth batch on, and one never does."""
    folder = tmp_path_factory.mktemp("mlflow")
    with run_local_azure(folder / "azure") as running:
        client = make_ml_client(running)
        client.online_endpoints.begin_create_or_update(ManagedOnlineEndpoint(name=ENDPOINT)).result()
        save_threshold_model(running, "train-1", 0.5)
        register(client, "fraud", "1", "train-1")
        deploy(client, ENDPOINT, "blue", "fraud", "1")
        set_traffic(client, ENDPOINT, {"blue": 100})
        generator = np.random.default_rng(3)
        a, b = generator.random(BATCHES * ROWS), generator.random(BATCHES * ROWS)
        shifted = np.arange(len(a)) >= 5 * ROWS
        frame = pd.DataFrame({"a": a + 0.6 * shifted, "b": b, "target": (a > 0.5).astype(np.int8)})
        frame.to_parquet(folder / "rows.parquet", index=False)
        yield running


def advance(azure: RunningAzure, name: str, batches: int, kind: Any) -> None:
    """A stream of this name, watched by a monitor of this name, moves on."""
    source = str(azure.cloud.folder.parent / "rows.parquet")
    azure.control.create_stream(name, source=source, label="target", batch_rows=ROWS, history_batches=3)
    monitor: Monitor = {"kind": kind, "name": name, "threshold": 0.5, "baseline_rows": 3 * ROWS}
    azure.control.advance_stream(
        name, batches=batches, workspace_id=WORKSPACE_ID, model="fraud", endpoint=ENDPOINT, monitor=monitor
    )


def keeps(azure: RunningAzure, monitor: str, step: int, value: float, **tags: str) -> str:
    named = {"azureml.monitor_name": monitor, "azureml.metric_name": "M"}
    return publish_metrics(azure.cloud, WORKSPACE_ID, monitor, named | tags, {"value": value}, step)


def api(azure: RunningAzure) -> str:
    """Where the workspace says its MLflow is, as a client that was told to use http."""
    uri: str = make_ml_client(azure).workspaces.get(WORKSPACE).mlflow_tracking_uri
    return uri.replace("azureml://", "http://") + "/api/2.0/mlflow/"


def get(azure: RunningAzure, path: str, **query: Any) -> httpx.Response:
    return httpx.get(api(azure) + path, params=query, headers=TOKEN)


def post(azure: RunningAzure, path: str, **body: Any) -> httpx.Response:
    return httpx.post(api(azure) + path, json=body, headers=TOKEN)


def experiment(azure: RunningAzure, name: str) -> str:
    return get(azure, "experiments/get-by-name", experiment_name=name).json()["experiment"]["experiment_id"]


def search(azure: RunningAzure, name: str, wanted: str = "") -> list[Any]:
    answer = post(azure, "runs/search", experiment_ids=[experiment(azure, name)], filter=wanted)
    return answer.raise_for_status().json()["runs"]


def tags_of(run: Any) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in run["data"]["tags"]}


def history(azure: RunningAzure, run: Any, metric: str, **query: Any) -> Any:
    found = get(azure, "metrics/get-history", run_id=run["info"]["run_id"], metric_key=metric, **query)
    return found.raise_for_status().json()


# --- what a monitor leaves --------------------------------------------------------------------------------


def test_every_batch_leaves_a_reading(azure: RunningAzure) -> None:
    """Every batch leaves a reading of every feature, with or without a breach."""
    advance(azure, "watched", 4, "model")

    series = search(azure, "watched", "tags.azureml.signal_name = 'watched_data_drift'")
    values = {
        tags_of(run)["azureml.feature_name"]: [point["value"] for point in history(azure, run, "value")["metrics"]]
        for run in series
    }

    assert {feature: len(readings) for feature, readings in values.items()} == {"a": 4, "b": 4}
    assert [value > 0.5 for value in values["a"]] == [False, False, True, True]
    assert [value > 0.5 for value in values["b"]] == [False] * 4


def test_features_share_distinct_past_steps(azure: RunningAzure) -> None:
    """All features of a monitor run share one step, distinct per run and not in the future."""
    before = int(time.time())
    advance(azure, "stepped", 3, "model")

    steps: defaultdict[str, set[tuple[int, ...]]] = defaultdict(set)
    for run in search(azure, "stepped", "tags.azureml.signal_name = 'stepped_data_drift'"):
        for metric in ("value", "threshold"):
            points = history(azure, run, metric)["metrics"]
            steps[metric].add(tuple(point["step"] for point in points))

    assert len(steps["value"]) == 1
    assert steps["value"] == steps["threshold"]
    [only] = steps["value"]
    assert before - 3 <= only[0] < only[1] < only[2] <= time.time()


def test_threshold_is_stored_per_reading(azure: RunningAzure) -> None:
    """The threshold of each reading is stored beside it."""
    advance(azure, "bounded", 1, "model")

    for run in search(azure, "bounded", "tags.azureml.signal_name = 'bounded_data_drift'"):
        assert [point["value"] for point in history(azure, run, "threshold")["metrics"]] == [0.5]


def test_series_are_below_their_parent(azure: RunningAzure) -> None:
    """The series of a monitor are children of its parent run."""
    advance(azure, "nested", 1, "model")

    [parent] = search(azure, "nested", "tags.azureml.metric_name = 'azureml.metrics'")
    series = search(azure, "nested", f"tags.mlflow.parentRunId = '{parent['info']['run_id']}'")

    assert parent["info"]["run_name"] == "nested - Metrics"
    assert tags_of(parent) == {"azureml.monitor_name": "nested", "azureml.metric_name": "azureml.metrics"}
    assert {tags_of(run)["azureml.feature_name"] for run in series} == {"a", "b"}
    assert {run["info"]["run_name"] for run in series} == {"nested_data_drift_NormalizedWassersteinDistance"}


def test_dataset_monitor_has_no_series(azure: RunningAzure) -> None:
    """A dataset monitor stores no series."""
    advance(azure, "v1-drift", 1, "dataset")

    assert get(azure, "experiments/get-by-name", experiment_name="v1-drift").status_code == 404


def test_concurrent_monitor_runs_get_distinct_steps(azure: RunningAzure) -> None:
    """Monitor runs in the same second wait until each has a step of its own."""
    at = datetime.now(UTC)
    steps = [next_step(azure.cloud, WORKSPACE_ID, "busy", "busy", at) for _ in range(2)]

    assert steps == [int(at.timestamp()), int(at.timestamp()) + 1]
    assert time.time() >= steps[-1]


def test_series_survive_a_restart(tmp_path: Path) -> None:
    """The series survive a restart and continue after it."""
    with run_local_azure(tmp_path) as first:
        keeps(first, "lasting", 1, 0.5)
    with run_local_azure(tmp_path) as second:
        keeps(second, "lasting", 2, 0.6)
        [run] = search(second, "lasting", "tags.azureml.metric_name = 'M'")
        assert [point["value"] for point in history(second, run, "value")["metrics"]] == [0.5, 0.6]


# --- the API ----------------------------------------------------------------------------------------------


def test_missing_token_is_refused(azure: RunningAzure) -> None:
    """A request without a token is refused with 401."""
    assert httpx.get(api(azure) + "experiments/get-by-name").status_code == 401


def test_both_api_addresses_are_equivalent(azure: RunningAzure) -> None:
    """The address that later clients use leads to the same runs."""
    keeps(azure, "versioned", 1, 0.5)
    later = api(azure).replace("/mlflow/v1.0/", "/mlflow/v2.0/")
    answer = httpx.get(later + "experiments/get-by-name", params={"experiment_name": "versioned"}, headers=TOKEN).json()

    assert answer["experiment"]["experiment_id"] == experiment(azure, "versioned")


def test_experiments_contain_jobs_and_series(azure: RunningAzure) -> None:
    """An experiment contains jobs and series alike."""
    keeps(azure, "mixed", 1, 0.5)
    record_run(azure.cloud, WORKSPACE_ID, "j1", experiment="mixed", status="Completed", tags={"t": "1"}, properties={})

    found = {run["info"]["run_id"]: run for run in search(azure, "mixed")}

    assert len(found) == 3
    assert (found["j1"]["info"]["status"], tags_of(found["j1"])) == ("FINISHED", {"t": "1"})
    assert history(azure, found["j1"], "value") == {"metrics": []}


def test_experiments_are_paged(azure: RunningAzure) -> None:
    """Experiments are listed page by page, each once."""
    for index in range(3):
        keeps(azure, f"paged-{index}", 1, 0.5)

    names: list[str] = []
    token: str | None = None
    while token is None or token:
        page = post(azure, "experiments/search", max_results=2, page_token=token).json()
        assert len(page["experiments"]) <= 2
        names += [each["name"] for each in page["experiments"]]
        token = page.get("next_page_token", "")

    assert {"paged-0", "paged-1", "paged-2"} <= set(names)
    assert len(names) == len(set(names))


def test_search_returns_last_points(azure: RunningAzure) -> None:
    """A search returns only the last point of each metric."""
    for step in (1, 2):
        keeps(azure, "last", step, step / 10)

    [run] = search(azure, "last", "tags.azureml.metric_name = 'M'")

    assert [(point["key"], point["value"], point["step"]) for point in run["data"]["metrics"]] == [("value", 0.2, 2)]


def test_history_pages_are_linked(azure: RunningAzure) -> None:
    """The history of a metric comes in pages that lead to the next one."""
    for step in range(5):
        keeps(azure, "turning", step, float(step))
    [run] = search(azure, "turning", "tags.azureml.metric_name = 'M'")

    first = history(azure, run, "value", max_results=3)
    second = history(azure, run, "value", max_results=3, page_token=first["next_page_token"])

    assert [point["step"] for point in (*first["metrics"], *second["metrics"])] == list(range(5))
    assert "next_page_token" not in second


def test_history_page_size_is_capped(azure: RunningAzure) -> None:
    """A page of a history never exceeds the cap, whatever size is requested."""
    for step in range(MOST_POINTS + 1):
        keeps(azure, "endless", step, 0.5)
    [run] = search(azure, "endless", "tags.azureml.metric_name = 'M'")

    page = history(azure, run, "value", max_results=25_000)

    assert (len(page["metrics"]), page["next_page_token"]) == (MOST_POINTS, str(MOST_POINTS))


def test_filter_combines_tags_with_and(azure: RunningAzure) -> None:
    """A filter combines tags with a logical and."""
    for feature in ("a", "b"):
        keeps(azure, "filtered", 1, 0.5, **{"azureml.feature_name": feature})

    wanted = "tags.azureml.monitor_name = 'filtered' AND tags.`azureml.feature_name` = \"b\""

    assert [tags_of(run)["azureml.feature_name"] for run in search(azure, "filtered", wanted)] == ["b"]


@pytest.mark.parametrize(
    ("path", "query", "status", "code"),
    [
        ("experiments/get-by-name", {"experiment_name": "nothing"}, 404, "RESOURCE_DOES_NOT_EXIST"),
        ("metrics/get-history", {"run_id": "nothing", "metric_key": "m"}, 404, "RESOURCE_DOES_NOT_EXIST"),
        ("metrics/get-history", {"run_id": "nothing", "max_results": "many"}, 400, "INVALID_PARAMETER_VALUE"),
    ],
)
def test_request_errors_match_mlflow(
    azure: RunningAzure, path: str, query: dict[str, Any], status: int, code: str
) -> None:
    """A request that cannot be answered gets the status and error code of MLflow."""
    answer = get(azure, path, **query)

    assert (answer.status_code, answer.json()["error_code"]) == (status, code)


@pytest.mark.parametrize("wanted", ["tags.a != 'b'", "tags.a LIKE 'b'", "attributes.status = 'FINISHED'", "tags.a ="])
def test_unsupported_filter_is_refused(azure: RunningAzure, wanted: str) -> None:
    """A filter that Azure does not support is refused."""
    answer = post(azure, "runs/search", experiment_ids=["x"], filter=wanted)

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "UserError"


def test_non_finite_values_are_text(azure: RunningAzure) -> None:
    """Values that JSON cannot express as numbers are written as text."""
    for step, value in enumerate((float("nan"), float("inf"), float("-inf"))):
        keeps(azure, "undefined", step, value)
    [run] = search(azure, "undefined", "tags.azureml.metric_name = 'M'")

    values = [point["value"] for point in history(azure, run, "value")["metrics"]]

    assert values == ["NaN", "Infinity", "-Infinity"]
