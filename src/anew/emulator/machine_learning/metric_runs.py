"""The long-lived runs in which v2 monitors keep their metrics: a parent for each monitor, a child for each series.

Follows `run_metrics_utils.py` and `runmetric_client.py` of azureml-assets: a run is found by its tags or created. Azure
ML also lists such runs among the jobs and may raise events for them (unverified); local Azure does neither.
"""

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from anew.emulator.base.cloud import Cloud
from anew.emulator.base.state import Document
from anew.emulator.machine_learning.events import stable_id

RUN_KIND: Final = "metric.run"
POINTS_KIND: Final = "metric.points"
MONITOR_TAG: Final = "azureml.monitor_name"
METRIC_TAG: Final = "azureml.metric_name"
PARENT_TAG: Final = "mlflow.parentRunId"
PARENT_METRIC: Final = "azureml.metrics"


def next_step(cloud: Cloud, workspace_id: str, experiment: str, monitor: str, at: datetime) -> int:
    """The step of a monitor's run at this time: its Unix time, or one more than the step before.

    Real monitors run hours apart, and a step tells one run from another. Here several may run within one second: then
    this waits until the step is not in the future.
    """
    with cloud.store.transaction():
        parent = _parent(cloud, workspace_id, experiment, monitor)
        step: int = max(int(at.timestamp()), parent.get("last_step", 0) + 1)
        _save(cloud, workspace_id, {**parent, "last_step": step})
    time.sleep(max(0.0, step - time.time()))
    return step


def publish_metrics(
    cloud: Cloud,
    workspace_id: str,
    experiment: str,
    tags: Mapping[str, str],
    metrics: Mapping[str, float],
    step: int,
) -> str:
    """Log one point of each metric to the run of these tags, which is created if needed; returns the run's id.

    `tags` name the monitor, whose parent run contains the run.
    """
    with cloud.store.transaction():
        parent = _parent(cloud, workspace_id, experiment, tags[MONITOR_TAG])
        name = f"{tags.get('azureml.signal_name', '')}_{tags[METRIC_TAG]}"
        run = _ensure(cloud, workspace_id, experiment, name, {**tags, PARENT_TAG: parent["run_id"]})
        for key, value in metrics.items():
            _log(cloud, workspace_id, run["run_id"], key, value, step)
    return run["run_id"]


def metric_runs(cloud: Cloud, workspace_id: str) -> list[Document]:
    """Every such run of a workspace, oldest first."""
    return cloud.store.list(RUN_KIND, _key(workspace_id, ""))


def is_known(cloud: Cloud, workspace_id: str, run_id: str) -> bool:
    """Whether there is such a run of this id."""
    return cloud.store.get(RUN_KIND, _key(workspace_id, run_id)) is not None


def points(cloud: Cloud, workspace_id: str, run_id: str, metric: str) -> list[Document]:
    """All points of one metric of a run, as they were logged."""
    kept = cloud.store.get(POINTS_KIND, _key(workspace_id, run_id, metric))
    return kept["points"] if kept else []


def _parent(cloud: Cloud, workspace_id: str, experiment: str, monitor: str) -> Document:
    tags = {MONITOR_TAG: monitor, METRIC_TAG: PARENT_METRIC}
    return _ensure(cloud, workspace_id, experiment, f"{monitor} - Metrics", tags)


def _ensure(cloud: Cloud, workspace_id: str, experiment: str, name: str, tags: Mapping[str, str]) -> Document:
    run_id = stable_id(workspace_id, experiment, *(f"{key}={value}" for key, value in sorted(tags.items())))
    known = cloud.store.get(RUN_KIND, _key(workspace_id, run_id))
    if known is not None:
        return known
    started = time.time_ns() // 1_000_000
    run: Document = {"run_id": run_id, "name": name, "experiment": experiment, "tags": dict(tags), "started": started}
    run["metrics"] = []
    return _save(cloud, workspace_id, run)


def _log(cloud: Cloud, workspace_id: str, run_id: str, metric: str, value: float, step: int) -> None:
    point: Document = {"key": metric, "value": value, "timestamp": time.time_ns() // 1_000_000, "step": step}
    known = points(cloud, workspace_id, run_id, metric)
    cloud.store.put(POINTS_KIND, _key(workspace_id, run_id, metric), {"points": [*known, point]})
    if not known:
        run = cloud.store.get(RUN_KIND, _key(workspace_id, run_id)) or {}
        run["metrics"].append(metric)
        _save(cloud, workspace_id, run)


def _save(cloud: Cloud, workspace_id: str, run: Document) -> Document:
    return cloud.store.put(RUN_KIND, _key(workspace_id, run["run_id"]), run)


def _key(workspace_id: str, *parts: str) -> str:
    return "/".join((workspace_id, "metric-runs", *parts))
