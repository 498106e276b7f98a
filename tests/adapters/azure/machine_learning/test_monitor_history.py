"""The readings a monitor kept come back as signals, breach or not."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from anew.adapters.azure.machine_learning.mlflow_rest import PAGE, MlflowApi, api_url
from anew.adapters.azure.machine_learning.mlflow_tracking import MlflowTracking
from anew.adapters.azure.machine_learning.monitor_history import AzureMonitorHistory
from anew.core.evidence.history import History
from anew.core.evidence.signals import Signal
from anew.core.policies.evidence import MonitorHistory
from anew.core.policies.policy import Policy
from anew.emulator.machine_learning.metric_runs import publish_metrics
from anew.emulator.monitors.monitors import Reading
from anew.emulator.monitors.runs import Monitor, Observation, report
from tests.builders import policy
from tests.contract.azure_worlds import RealClients, real_clients
from tests.emulator.support import WORKSPACE, WORKSPACE_ID

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
PSI = "PopulationStabilityIndex"


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealClients]:
    with real_clients(tmp_path_factory.mktemp("history")) as ready:
        yield ready


def watching(*monitors: str) -> Policy:
    return policy(monitors=monitors)


def read(clients: RealClients, *monitors: str, window: timedelta = 30 * DAY, now: datetime = NOW) -> list[Signal]:
    source = MonitorHistory(kind="monitor_history", window=window)
    return history_of(clients).read(source, watching(*monitors), History(), now)


def history_of(clients: RealClients) -> AzureMonitorHistory:
    return AzureMonitorHistory(MlflowTracking(lambda: clients.ml, clients.azure.connection.credential))


def runs_on(clients: RealClients, monitor: str, at: datetime, **values: float) -> None:
    """One run of a v2 monitor, which measured these features."""
    readings = [Reading(feature, PSI, value, 0.2) for feature, value in values.items()]
    report(clients.azure.cloud, WORKSPACE_ID, Monitor("model", monitor, 0.2, 100), Observation(0.0, readings, at, at))


def keeps(clients: RealClients, monitor: str, step: int, metrics: Mapping[str, float], **tags: str) -> None:
    """What a monitor's component keeps of one series in the monitor's experiment."""
    named = {"azureml.monitor_name": monitor, "azureml.signal_name": f"{monitor}_signal", "azureml.metric_name": PSI}
    given = {f"azureml.{key}": value for key, value in tags.items()}
    publish_metrics(clients.azure.cloud, WORKSPACE_ID, monitor, named | given, metrics, step)


# --- what is read -----------------------------------------------------------------------------------------


def test_readings_are_complete_and_ordered(clients: RealClients) -> None:
    """Every reading of every feature is read, oldest first."""
    runs_on(clients, "steady", NOW - 2 * DAY, a=0.1, b=0.4)
    runs_on(clients, "steady", NOW - DAY, a=0.3, b=0.1)

    signals = read(clients, "steady")

    assert [signal.at for signal in signals] == sorted(signal.at for signal in signals)
    assert {(signal.at, signal.feature, signal.value) for signal in signals} == {
        (NOW - 2 * DAY, "a", 0.1),
        (NOW - 2 * DAY, "b", 0.4),
        (NOW - DAY, "a", 0.3),
        (NOW - DAY, "b", 0.1),
    }


def test_reading_becomes_a_full_signal(clients: RealClients) -> None:
    """A reading becomes a signal with its metric, threshold, feature and monitor signal name."""
    runs_on(clients, "named", NOW - DAY, a=0.1)

    [signal] = read(clients, "named")

    assert signal == Signal(PSI, 0.1, "monitor_history", NOW - DAY, "a", 0.2, "named_data_drift")


def test_dataset_monitor_has_no_history(clients: RealClients) -> None:
    """A dataset monitor has no history."""
    seen = Observation(0.9, [Reading("a", PSI, 0.9, 0.2)], NOW - DAY, NOW)
    report(clients.azure.cloud, WORKSPACE_ID, Monitor("dataset", "v1-drift", 0.3, 100), seen)

    assert read(clients, "v1-drift") == []


def test_missing_experiment_has_no_history(clients: RealClients) -> None:
    """A monitor without an experiment has no history."""
    assert read(clients, "nobody-knows", "it's not a name") == []


def test_policy_may_name_the_signal(clients: RealClients) -> None:
    """A policy may name the signal of a monitor instead of the monitor."""
    runs_on(clients, "by-signal", NOW - DAY, a=0.1)

    assert read(clients, "by-signal_data_drift") == read(clients, "by-signal") != []


def test_experiment_name_also_finds_monitor(clients: RealClients) -> None:
    """A monitor in an experiment of another name is found by either name."""
    tags = {"azureml.monitor_name": "hidden", "azureml.signal_name": "hidden_s", "azureml.metric_name": PSI}
    step = int(NOW.timestamp()) - 60
    publish_metrics(clients.azure.cloud, WORKSPACE_ID, "some-experiment", tags, {"value": 0.5}, step)

    assert [signal.value for signal in read(clients, "hidden")] == [0.5]
    assert [signal.value for signal in read(clients, "some-experiment")] == [0.5]


def test_several_monitors_are_read_once(clients: RealClients) -> None:
    """Of several monitors each is read once, even when it is named twice."""
    runs_on(clients, "first", NOW - DAY, a=0.1)
    runs_on(clients, "second", NOW - 2 * DAY, a=0.2)
    runs_on(clients, "third", NOW - DAY, a=0.3)

    signals = read(clients, "first", "second", "first_data_drift")

    assert [(signal.monitor, signal.value) for signal in signals] == [
        ("second_data_drift", 0.2),
        ("first_data_drift", 0.1),
    ]


def test_groups_replace_the_feature(clients: RealClients) -> None:
    """The groups of a reading take the place of its feature."""
    step = int(NOW.timestamp()) - 60
    keeps(clients, "grouped", step, {"value": 0.7}, metric_name="Accuracy")
    keeps(clients, "grouped", step, {"value": 0.6}, metric_name="Accuracy", group_0="north")
    keeps(clients, "grouped", step, {"value": 0.5}, metric_name="Accuracy", group_0="north", group_1="young")

    found = {(signal.metric, signal.feature, signal.value) for signal in read(clients, "grouped")}

    assert found == {("Accuracy", None, 0.7), ("Accuracy", "north", 0.6), ("Accuracy", "north/young", 0.5)}


# --- which of it ------------------------------------------------------------------------------------------


def test_window_includes_both_ends(clients: RealClients) -> None:
    """The window includes both its ends and nothing beyond them."""
    for index, at in enumerate((NOW - 10 * DAY, NOW - 3 * DAY, NOW)):
        runs_on(clients, "windowed", at, a=float(index))

    assert [signal.value for signal in read(clients, "windowed", window=3 * DAY)] == [1.0, 2.0]
    assert [signal.value for signal in read(clients, "windowed", now=NOW - DAY)] == [0.0, 1.0]
    assert read(clients, "windowed", window=DAY, now=NOW + 2 * DAY) == []


def test_long_history_is_read_whole(clients: RealClients) -> None:
    """A history longer than one page is read whole."""
    count = PAGE + 3
    for index in range(count):
        keeps(clients, "long", int(NOW.timestamp()) - count + index, {"value": float(index)}, feature_name="a")

    assert [signal.value for signal in read(clients, "long")] == [float(index) for index in range(count)]


def test_all_pages_of_series_are_found(clients: RealClients) -> None:
    """All series are found when there are more than fit on one page."""
    for index in range(PAGE + 3):
        keeps(clients, "wide", int(NOW.timestamp()) - 60, {"value": 1.0}, feature_name=f"f{index}")

    with httpx.Client() as http:
        api = MlflowApi(api_url(clients.ml.workspaces.get(WORKSPACE).mlflow_tracking_uri), "token", http)
        found = api.runs(api.experiments(), {"azureml.signal_name": "wide_signal"})

    assert len({run.tags["azureml.feature_name"] for run in found}) == len(found) == PAGE + 3


def test_repeated_step_keeps_later_value(clients: RealClients) -> None:
    """A step that is logged twice is one reading with the later value."""
    step = int(NOW.timestamp()) - 60
    keeps(clients, "again", step, {"value": 0.1}, feature_name="a")
    keeps(clients, "again", step, {"value": 0.2}, feature_name="a")

    assert [signal.value for signal in read(clients, "again")] == [0.2]


def test_invalid_threshold_is_none(clients: RealClients) -> None:
    """A threshold or value that is missing or not a number is read as none."""
    step = int(NOW.timestamp()) - 60
    keeps(clients, "unsure", step, {"value": 0.1}, feature_name="a")
    keeps(clients, "unsure", step, {"value": 0.1, "threshold": float("nan")}, feature_name="b")
    keeps(clients, "unsure", step, {"value": float("nan"), "threshold": 0.2}, feature_name="c")

    found = {(signal.feature, signal.value, signal.threshold) for signal in read(clients, "unsure")}

    assert found == {("a", 0.1, None), ("b", 0.1, None), ("c", None, 0.2)}


def test_threshold_change_applies_from_then(clients: RealClients) -> None:
    """A changed threshold applies to later readings only."""
    step = int(NOW.timestamp()) - 60
    keeps(clients, "changed", step, {"value": 0.1, "threshold": 0.2}, feature_name="a")
    keeps(clients, "changed", step + 1, {"value": 0.1, "threshold": 0.3}, feature_name="a")

    assert [signal.threshold for signal in read(clients, "changed")] == [0.2, 0.3]
