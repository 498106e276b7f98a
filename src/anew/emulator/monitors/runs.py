"""The reports of a monitor about one batch: metrics in the logs, runs in the workspace, and events.

A silent monitor does the same, except that its events are lost.
"""

import time
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Literal

from anew.emulator.base.cloud import Cloud
from anew.emulator.base.state import Document
from anew.emulator.machine_learning import events as ml_events
from anew.emulator.machine_learning.metric_runs import next_step, publish_metrics
from anew.emulator.machine_learning.runs import log_status, record_run
from anew.emulator.monitors.monitors import Reading, breach_message

BREACH_TAG: Final = "azureml_modelmonitor_threshold_breached"
DRIFT_METRIC: Final = "datadrift_coefficient"
# The run type of a monitor's step (unverified).
_STEP_RUN: Final = "azureml.StepRun"


@dataclass(frozen=True)
class Monitor:
    """A monitor that watches a stream: a v1 dataset monitor or a v2 model monitor."""

    kind: Literal["dataset", "model"]
    name: str
    threshold: float
    baseline_rows: int
    silent: bool = False
    metric: Literal["JensenShannonDistance", "NormalizedWassersteinDistance", "PopulationStabilityIndex"] = (
        "NormalizedWassersteinDistance"
    )


@dataclass(frozen=True)
class Observation:
    """The observation of a monitor: the coefficient, the metric of every feature, and the time that the batch covers.

    `later` is how many batches follow in the same request; their times must fit between this one and now.
    """

    coefficient: float
    readings: list[Reading]
    start: datetime
    end: datetime
    later: int = 0

    @property
    def breaches(self) -> list[Reading]:
        """The features over their threshold."""
        return [reading for reading in self.readings if reading.is_breach]


def report(cloud: Cloud, workspace_id: str, monitor: Monitor, seen: Observation) -> str | None:
    """Log the observation and publish a breach; returns the id of the event that reports it, if there is one."""
    if monitor.kind == "model":
        # v2 monitors keep their metrics with their runs; none reaches Azure Monitor by default.
        return _model_monitor_run(cloud, workspace_id, monitor, seen)
    drift_id = ml_events.stable_id(workspace_id, "datadrift", monitor.name)
    run_id = f"{drift_id}_{time.time_ns() // 1_000_000}"
    # The property names of azureml-datadrift's own metrics.
    properties = {
        "datadrift_id": drift_id,
        "datadrift_name": monitor.name,
        "runid": run_id,
        "start_date": seen.start.isoformat(),
        "end_date": seen.end.isoformat(),
        "drift_threshold": str(monitor.threshold),
    }
    log_metric(cloud, DRIFT_METRIC, seen.coefficient, properties)
    if seen.coefficient <= monitor.threshold:
        return None
    event = ml_events.dataset_drift_detected(
        workspace_id,
        drift_id=drift_id,
        name=monitor.name,
        run_id=run_id,
        coefficient=seen.coefficient,
        start=seen.start,
        end=seen.end,
    )
    return _publish(cloud, monitor, event)


def log_metric(cloud: Cloud, name: str, value: float, properties: dict[str, str]) -> None:
    """Add one measurement to AppMetrics, the table of a workspace-based Application Insights."""
    row: Document = {"Name": name, "Sum": value, "ItemCount": 1, "Min": value, "Max": value, "Properties": properties}
    cloud.log("AppMetrics", row)


def _publish(cloud: Cloud, monitor: Monitor, event: Document) -> str | None:
    if monitor.silent:
        cloud.journal("event.lost", id=event["id"], type=event["eventType"], subject=event["subject"])
        return None
    cloud.publish(event)
    return event["id"]


def _model_monitor_run(cloud: Cloud, workspace_id: str, monitor: Monitor, seen: Observation) -> str | None:
    """A monitor's pipeline run and the step that evaluates thresholds; a breach is a tag on the step, not a failure."""
    root, step, signal = str(uuid.uuid4()), str(uuid.uuid4()), f"{monitor.name}_data_drift"
    tags = {BREACH_TAG: breach_message(signal, seen.breaches)} if seen.breaches else {}
    record = partial(record_run, cloud, workspace_id, experiment=monitor.name)
    record(root, status="Running", tags={}, properties={})
    # The step that keeps the series comes before the one that evaluates thresholds.
    _keep_series(cloud, workspace_id, monitor.name, signal, seen)
    run: ml_events.RunFields = {
        "run_id": step,
        "experiment": monitor.name,
        "tags": {},
        "properties": {"azureml.pipelinerunid": root},
        "run_type": _STEP_RUN,
    }
    event_id: str | None = None
    for status in ("Running", "Finalizing", "Completed"):
        run["tags"] = {} if status == "Running" else tags
        job = record(step, status=status, tags=run["tags"], properties=run["properties"], parent=root)
        log_status(cloud, job)
        event_id = _publish(cloud, monitor, ml_events.run_status_changed(workspace_id, status=status, **run))
    _publish(cloud, monitor, ml_events.run_completed(workspace_id, **run))
    log_status(cloud, record(root, status="Completed", tags={}, properties={}))
    return event_id if tags else None


def _keep_series(cloud: Cloud, workspace_id: str, monitor: str, signal: str, seen: Observation) -> None:
    # One long-lived run for each feature and metric, its tags and metrics those of azureml-assets'
    # run_metrics_utils.py; the step is the time of the monitor's run.
    ran_at = seen.end - timedelta(seconds=seen.later)
    step = next_step(cloud, workspace_id, monitor, monitor, ran_at)
    for reading in seen.readings:
        tags = {
            "azureml.monitor_name": monitor,
            "azureml.signal_name": signal,
            "azureml.feature_name": reading.feature,
            "azureml.metric_name": reading.metric,
        }
        metrics = {"value": reading.value, "threshold": reading.threshold}
        publish_metrics(cloud, workspace_id, monitor, tags, metrics, step)
