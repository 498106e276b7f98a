"""The drifting world: streams that move, accuracy and drift that are measured, monitors that speak or keep silent."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from azure.ai.ml.entities import ManagedOnlineEndpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from anew.emulator.client import Monitor
from anew.emulator.machine_learning import events as ml_events
from anew.emulator.monitors.monitors import (
    METRICS,
    Reading,
    breach_message,
    drift_coefficient,
    feature_readings,
    matthews_correlation,
    population_stability_index,
)
from anew.emulator.monitors.runs import BREACH_TAG
from tests.emulator.support import (
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
ROWS = 200


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAzure]:
    """An endpoint whose model answers 1 above 0.5, and a data set whose batches from the sixth on shift upwards."""
    folder = tmp_path_factory.mktemp("streams")
    with run_local_azure(folder / "azure") as running:
        client = make_ml_client(running)
        client.online_endpoints.begin_create_or_update(ManagedOnlineEndpoint(name=ENDPOINT)).result()
        save_threshold_model(running, "train-1", 0.5)
        register(client, "fraud", "1", "train-1")
        deploy(client, ENDPOINT, "blue", "fraud", "1")
        set_traffic(client, ENDPOINT, {"blue": 100})
        drifting_rows().to_parquet(folder / "rows.parquet", index=False)
        yield running


def drifting_rows() -> pd.DataFrame:
    generator = np.random.default_rng(3)
    a = generator.random(10 * ROWS)
    shifted = np.arange(len(a)) >= 5 * ROWS
    label = np.where(shifted, a > 0.8, a > 0.5)
    return pd.DataFrame({"a": a + 0.4 * shifted, "b": generator.random(len(a)), "target": label.astype(np.int8)})


def create(azure: RunningAzure, name: str) -> Any:
    source = str(azure.cloud.folder.parent / "rows.parquet")
    return azure.control.create_stream(
        name, source=source, label="target", batch_rows=ROWS, history_batches=4, workspace_id=WORKSPACE_ID
    )


def advance(azure: RunningAzure, name: str, batches: int, monitor: Monitor | None = None) -> list[Any]:
    return list(
        azure.control.advance_stream(
            name, batches=batches, workspace_id=WORKSPACE_ID, model="fraud", endpoint=ENDPOINT, monitor=monitor
        )
    )


def make_monitor(kind: Any, name: str, *, silent: bool = False) -> Monitor:
    return {"kind": kind, "name": name, "threshold": 0.3, "baseline_rows": 3 * ROWS, "silent": silent}


def published(azure: RunningAzure, kind: str, after: int) -> list[Any]:
    return [entry for entry in azure.control.journal("event.published", after=after) if entry["type"].endswith(kind)]


def last_entry(azure: RunningAzure) -> int:
    return azure.control.journal()[-1]["seq"]


def metrics(azure: RunningAzure, name: str) -> list[Any]:
    return [row for row in azure.cloud.store.list("log:AppMetrics") if row["Name"] == name]


def test_stream_grows_with_each_batch(azure: RunningAzure) -> None:
    """The file of a stream grows by the labelled rows of each batch."""
    create(azure, "grows")
    path = azure.cloud.folder / "datastores" / "workspaceblobstore" / "streams" / "grows.parquet"
    assert len(pd.read_parquet(path)) == 4 * ROWS
    advance(azure, "grows", 2)
    pd.testing.assert_frame_equal(pd.read_parquet(path), drifting_rows().iloc[: 6 * ROWS])
    assert azure.control.stream("grows")["next_batch"] == 6


def test_dataset_monitor_fires_above_threshold(azure: RunningAzure) -> None:
    """A dataset monitor publishes an event only when drift exceeds its threshold."""
    create(azure, "watched")
    before = last_entry(azure)
    quiet, drifted = advance(azure, "watched", 2, make_monitor("dataset", "watched-drift"))
    assert (quiet["event_id"], quiet["batch"], drifted["batch"]) == (None, 4, 5)
    assert quiet["drift_coefficient"] < 0.3 < drifted["drift_coefficient"]
    assert quiet["accuracy"] > 0.95
    assert drifted["accuracy"] < 0.8
    [event] = published(azure, "DatasetDriftDetected", before)
    drift_id = ml_events.stable_id(WORKSPACE_ID, "datadrift", "watched-drift")
    assert event["id"] == drifted["event_id"]
    assert re.fullmatch(rf"datadrift/{drift_id}/run/{drift_id}_\d{{13}}", event["subject"])


def test_accuracy_and_drift_are_logged(azure: RunningAzure) -> None:
    """Accuracy and drift become rows of `AppMetrics`."""
    create(azure, "logged")
    [batch] = advance(azure, "logged", 1, make_monitor("dataset", "logged-drift"))
    accuracy = metrics(azure, "accuracy")[-1]
    assert (accuracy["Sum"], accuracy["ItemCount"]) == (batch["accuracy"], 1)
    assert accuracy["Properties"] == {"model": "fraud", "endpoint": ENDPOINT, "deployment": "blue", "batch": "4"}
    drift = metrics(azure, "datadrift_coefficient")[-1]
    assert drift["Sum"] == batch["drift_coefficient"]
    assert (drift["Properties"]["datadrift_name"], drift["Properties"]["drift_threshold"]) == ("logged-drift", "0.3")


def test_silent_monitor_publishes_no_event(azure: RunningAzure) -> None:
    """A silent monitor measures and logs drift without publishing an event."""
    create(azure, "silent")
    before = last_entry(azure)
    _, drifted = advance(azure, "silent", 2, make_monitor("dataset", "silent-drift", silent=True))
    assert drifted["drift_coefficient"] > 0.3
    assert drifted["event_id"] is None
    assert published(azure, "DatasetDriftDetected", before) == []
    assert metrics(azure, "datadrift_coefficient")[-1]["Sum"] == drifted["drift_coefficient"]


def test_model_monitor_completes_its_step(azure: RunningAzure) -> None:
    """A model monitor tags its step with the breach and completes it."""
    create(azure, "modelled")
    before = last_entry(azure)
    _, drifted = advance(azure, "modelled", 2, make_monitor("model", "fraud_monitor"))
    statuses = published(azure, "RunStatusChanged", before)
    assert len(statuses) == 6
    assert drifted["event_id"] == statuses[-1]["id"]
    assert len(published(azure, "RunCompleted", before)) == 2
    step = make_ml_client(azure).jobs.get(statuses[-1]["subject"].rsplit("/", 1)[-1])
    assert step.status == "Completed"
    message = step.tags[BREACH_TAG]
    assert message.startswith("The signal 'fraud_monitor_data_drift' has failed due to one or more features")
    [entry] = ast.literal_eval(message[message.index("[") : message.rindex("]") + 1])
    assert (json.loads(entry)["group"], json.loads(entry)["metric_name"]) == ("a", "NormalizedWassersteinDistance")


def test_moved_baseline_ends_the_drift(azure: RunningAzure) -> None:
    """A baseline that is moved ends the drift."""
    create(azure, "moved")
    *_, drifted = advance(azure, "moved", 3)
    azure.control.reset_baseline("moved", end_batch=7, rows=2 * ROWS)
    [after] = advance(azure, "moved", 1)
    assert drifted["drift_coefficient"] > 0.3 > after["drift_coefficient"]


def test_exhausted_stream_is_refused(azure: RunningAzure) -> None:
    """An exhausted or unknown stream is refused and does not advance."""
    create(azure, "short")
    with pytest.raises(httpx.HTTPStatusError, match="400"):
        advance(azure, "short", 7)
    with pytest.raises(httpx.HTTPStatusError, match="404"):
        advance(azure, "nobody", 1)
    assert azure.control.stream("short")["next_batch"] == 4


@pytest.mark.parametrize(("source", "batch_rows", "features"), [("elec2", 336, 6), ("noaa_weather", 365, 8)])
def test_shipped_data_makes_streams(azure: RunningAzure, source: str, batch_rows: int, features: int) -> None:
    """The shipped data sets make streams with the documented shapes."""
    stream = azure.control.create_stream(
        source, source=source, label="target", batch_rows=batch_rows, history_batches=3, workspace_id=WORKSPACE_ID
    )
    path: Path = azure.cloud.folder / "datastores" / "workspaceblobstore" / stream["path"]
    assert pd.read_parquet(path).shape == (3 * batch_rows, features + 1)


def test_published_event_is_unchanged(azure: RunningAzure) -> None:
    """An event sent to the control API is published unchanged."""
    before = last_entry(azure)
    event = ml_events.model_deployed(WORKSPACE_ID, service="s", model_ids="m:1", tags={})
    azure.control.publish(event)
    assert [entry["id"] for entry in published(azure, "ModelDeployed", before)] == [event["id"]]


def test_coefficient_reflects_the_change() -> None:
    """The drift coefficient is low without a change and nearly one with a total change."""
    rows = np.random.default_rng(0).normal(size=(900, 3))
    assert drift_coefficient(rows[:600], rows[600:]) < 0.1
    assert drift_coefficient(rows[:600], rows[600:] + 100) > 0.98


def test_breach_message_matches_azure() -> None:
    """The message of a breach has the text of Azure ML."""
    message = breach_message("s1", [Reading("1", "metics", 4.6, 5.6)])
    assert message == (
        "The signal 's1' has failed due to one or more features violating metric thresholds.\n"
        "The feature names and their corresponding computed metric values violating the threshold are \n"
        '[\'{"metric_value":4.6,"metric_name":"metics","threshold_value":5.6,"group":"1"}\']\n'
    )


def test_equality_is_no_breach() -> None:
    """A metric equal to its threshold is no breach."""
    rows = np.arange(20.0).reshape(-1, 1)
    [reading] = feature_readings(["a"], rows, rows, metric="NormalizedWassersteinDistance", threshold=0.0)
    assert (reading.value, reading.is_breach) == (0.0, False)


def test_matthews_correlation_has_known_extremes() -> None:
    """Matthews correlation is 1, -1 or 0 for perfect, inverted or constant predictions."""
    truth = np.array([True, True, False, False])
    assert matthews_correlation(truth, truth) == 1.0
    assert matthews_correlation(truth, ~truth) == -1.0
    assert matthews_correlation(truth, np.ones(4, dtype=np.bool_)) == 0.0


def test_wasserstein_distance_is_normalized() -> None:
    """A shift by one standard deviation is a Wasserstein distance of one."""
    sample = np.random.default_rng(1).normal(size=5000)
    distance = METRICS["NormalizedWassersteinDistance"](sample, sample + float(np.std(sample, ddof=1)))
    assert distance == pytest.approx(1.0)


@settings(max_examples=50)
@given(
    st.lists(st.floats(-1e3, 1e3), min_size=5, max_size=60),
    st.lists(st.floats(-1e3, 1e3), min_size=5, max_size=60),
)
def test_metrics_stay_in_range(first: list[float], second: list[float]) -> None:
    """No metric is negative, and the Jensen-Shannon distance is at most one."""
    baseline, current = np.array(first), np.array(second)
    assert all(metric(baseline, current) >= -1e-12 for metric in METRICS.values())
    assert METRICS["JensenShannonDistance"](baseline, current) <= 1.0 + 1e-12
    assert population_stability_index(baseline, baseline) == 0.0
