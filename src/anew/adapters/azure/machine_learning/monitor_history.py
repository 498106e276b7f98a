"""Earlier measurements of Azure ML's model monitors: the series of values and thresholds that they keep as run metrics.

Events are not enough: a monitor's run reports a breach, but no event reports that there was none. Each v2 monitor keeps
one long-lived run for each feature and metric. Tags identify the run, its metrics are `value` and `threshold`, and the
step is the time of the monitor's run (Azure/azureml-assets, model_monitoring components,
`shared_utilities/run_metrics_utils.py` and `model_monitor_metric_outputter/runmetric_client.py`).

Unverified, because no public source states it:

- whether the hosted component keeps those runs. One public version of `run_metrics_utils.py` sets no tags, so that the
  series cannot be found again, and another fails to create the run (it uses `self` in a function). The component tries
  three times to keep a series, then gives up silently.
- the name of a monitor's experiment. If no experiment has the policy's name, all are searched by the tags.
- whether a run search in MLflow's REST API returns the step of the last point, and how it writes a NaN. This module
  accepts all cases.

The JSON files in the output `signal_output` of a monitor's run have the same numbers. They are not read, because
downloading them from the workspace's blob storage (`MLClient.jobs.download`) takes more permissions, and local Azure
has no such storage.
"""

import math
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import cache, partial

from anew.adapters.azure.machine_learning.mlflow_rest import MlflowApi, Run
from anew.adapters.azure.machine_learning.mlflow_tracking import MlflowTracking
from anew.core.evidence.history import History
from anew.core.evidence.signals import Signal
from anew.core.policies.evidence import EvidenceSpec, MonitorHistory
from anew.core.policies.policy import Policy

SOURCE = "monitor_history"

_MONITOR = "azureml.monitor_name"
_SIGNAL = "azureml.signal_name"
_METRIC = "azureml.metric_name"
_FEATURE = ("azureml.feature_name",)  # drift and quality
_GROUPS = ("azureml.group_0", "azureml.group_1")  # performance, custom and generation signals
_PARENT = "azureml.metrics"  # the metric name of the run above a monitor's series
_AT_ONCE = 4  # series read at the same time; each takes two requests, and a monitor may have hundreds


class AzureMonitorHistory:
    """Implements EvidenceReader for `monitor_history`."""

    def __init__(self, tracking: MlflowTracking) -> None:
        self._tracking = tracking

    def read(self, source: EvidenceSpec, policy: Policy, history: History, now: datetime) -> list[Signal]:
        """Every reading of the policy's monitors in the window, oldest first; unknown monitors have none.

        Names are compared exactly. A metric that could not be computed is a signal without a value. Raises
        AzureUnavailable, and AzureRefused also for a response that cannot be parsed.
        """
        assert isinstance(source, MonitorHistory)
        since, until = (now - source.window).timestamp(), now.timestamp()
        with self._tracking.api() as api:
            series = [run for run in _series_of(api, policy.monitors) if _may_reach(run, since)]
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                found = list(pool.map(partial(_readings, api, since, until), series))
        # A race in the component may leave two runs of one series, which count as one series.
        by_key = {_key(run, signal): signal for run, signals in zip(series, found, strict=True) for signal in signals}
        return sorted(by_key.values(), key=lambda signal: signal.at)

    def experiment_id(self, name: str) -> str | None:
        """The id of the experiment of this name. Raises AzureUnavailable and AzureRefused."""
        with self._tracking.api() as api:
            return api.experiment(name)


# --- which runs -------------------------------------------------------------------------------------------


def _series_of(api: MlflowApi, names: Sequence[str]) -> list[Run]:
    everywhere = cache(api.experiments)
    found: dict[str, Run] = {}
    for name in names:
        for run in _in_experiment(api, name) or _by_tag(api, name, everywhere()):
            found[run.info.run_id] = run
    return list(found.values())


def _in_experiment(api: MlflowApi, name: str) -> list[Run]:
    # Mostly a monitor's experiment has its name. If not, the parents of the series name the monitors in it.
    experiment = api.experiment(name)
    if experiment is None:
        return []
    if found := _series(api.runs([experiment], {_MONITOR: name})):
        return found
    parents = api.runs([experiment], {_METRIC: _PARENT})
    monitors = sorted({run.tags.get(_MONITOR, "") for run in parents} - {""})
    return [run for monitor in monitors for run in _series(api.runs([experiment], {_MONITOR: monitor}))]


def _by_tag(api: MlflowApi, name: str, experiments: Sequence[str]) -> list[Run]:
    return _series(api.runs(experiments, {_SIGNAL: name})) or _series(api.runs(experiments, {_MONITOR: name}))


def _series(runs: Iterable[Run]) -> list[Run]:
    return [run for run in runs if run.tags.get(_METRIC, _PARENT) != _PARENT]


def _may_reach(run: Run, since: float) -> bool:
    # A search returns the last point of each metric: a series that ended before the window is not read.
    last = run.last.get("value")
    return last is None or last.step <= 0 or last.step >= since


# --- their points -----------------------------------------------------------------------------------------


def _readings(api: MlflowApi, since: float, until: float, run: Run) -> list[Signal]:
    values = {step: value for step, value in _by_step(api, run, "value").items() if since <= step <= until}
    may_have_thresholds = not run.last or "threshold" in run.last
    thresholds = _by_step(api, run, "threshold") if values and may_have_thresholds else {}
    feature = "/".join(run.tags[name] for name in (*_FEATURE, *_GROUPS) if run.tags.get(name)) or None
    # An event names the signal, so a policy's rules know a monitor by that name.
    monitor = run.tags.get(_SIGNAL) or run.tags.get(_MONITOR)
    return [
        Signal(
            metric=run.tags[_METRIC],
            value=value,
            source=SOURCE,
            at=datetime.fromtimestamp(step, UTC),
            feature=feature,
            threshold=thresholds.get(step),
            monitor=monitor,
        )
        for step, value in values.items()
    ]


def _by_step(api: MlflowApi, run: Run, metric: str) -> dict[int, float | None]:
    # A component that retries logs the same step again: the last one counts.
    points = sorted(api.history(run.info.run_id, metric), key=lambda point: point.timestamp)
    return {point.step: point.value if math.isfinite(point.value or 0.0) else None for point in points}


def _key(run: Run, signal: Signal) -> tuple[object, ...]:
    return run.tags.get(_MONITOR), signal.monitor, signal.metric, signal.feature, signal.at
