"""The obligations of EvidenceReader, numbered as in engine/base/ports.py: in memory, from Azure and from files."""

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest

from anew.adapters.azure.machine_learning.mlflow_tracking import MlflowTracking
from anew.adapters.azure.machine_learning.monitor_history import AzureMonitorHistory
from anew.adapters.azure.monitor.log_analytics import LogAnalytics
from anew.adapters.evidence.retraining_gain import GainsOfRetraining
from anew.adapters.evidence.window_drift import DriftOfWindows
from anew.adapters.memory.azure import MemoryAzure
from anew.adapters.memory.evidence import MemorySource
from anew.core.evidence.history import History
from anew.core.evidence.signals import Signal
from anew.core.policies.evidence import DriftOfWindow, EvidenceSpec, GainOfRetraining, LogQuery, MonitorHistory
from anew.emulator.base.cloud import timestamp
from anew.emulator.monitors.monitors import Reading
from anew.emulator.monitors.runs import Monitor, Observation, report
from anew.engine.base.ports import EvidenceReader
from anew.errors import AzureRefused, InvalidTable, TemporaryError
from tests.builders import MODEL, policy
from tests.contract.azure_worlds import real_clients
from tests.emulator.support import WORKSPACE_ID

IMPLEMENTATIONS = (MemorySource, LogAnalytics, AzureMonitorHistory, DriftOfWindows, GainsOfRetraining)
CONTRACT = {EvidenceReader: IMPLEMENTATIONS}

NOW = datetime.now(UTC).replace(microsecond=0)
HOUR = timedelta(hours=1)
POLICY = policy(monitors=("steady",))
QUERY = "AppMetrics | project metric = Name, value = Sum / ItemCount, at = TimeGenerated"


@dataclass(frozen=True)
class World:
    """A reader with values at one and two hours before NOW, and a specification that it cannot read."""

    reader: EvidenceReader
    source: EvidenceSpec
    unreadable: Callable[[], EvidenceSpec]

    def read(self, source: EvidenceSpec, now: datetime) -> list[Signal]:
        return self.reader.read(source, POLICY, History(), now)


@contextmanager
def memory_world(folder: Path) -> Generator[World]:
    azure = MemoryAzure()
    azure.signals[MODEL] = [Signal("drift", 0.5, "log_analytics", NOW - hours * HOUR) for hours in (1, 2)]
    source = LogQuery(kind="log_analytics", query=QUERY, window=24 * HOUR)

    def unreadable() -> EvidenceSpec:
        azure.down.add("source.read")
        return source

    yield World(MemorySource(azure), source, unreadable)


@contextmanager
def logs_world(folder: Path) -> Generator[World]:
    with real_clients(folder) as clients:
        for hours in (1, 2):
            row = {"TimeGenerated": timestamp(NOW - hours * HOUR), "Name": "accuracy", "Sum": 0.5, "ItemCount": 1}
            clients.azure.cloud.log("AppMetrics", row | {"Properties": {}})
        bad = LogQuery(kind="log_analytics", query="NoSuchTable", window=24 * HOUR)
        yield World(clients.log_analytics, LogQuery(kind="log_analytics", query=QUERY, window=24 * HOUR), lambda: bad)


@contextmanager
def monitor_world(folder: Path) -> Generator[World]:
    with real_clients(folder) as clients:
        for hours in (2, 1):
            at = NOW - hours * HOUR
            seen = Observation(0.0, [Reading("a", "PopulationStabilityIndex", 0.1, 0.2)], at, at)
            report(clients.azure.cloud, WORKSPACE_ID, Monitor("model", "steady", 0.2, 100), seen)
        source = MonitorHistory(kind="monitor_history", window=24 * HOUR)

        transports: list[httpx.BaseTransport] = [httpx.HTTPTransport()]
        tracking = MlflowTracking(
            lambda: clients.ml, clients.azure.connection.credential, lambda: httpx.Client(transport=transports[-1])
        )

        def unreadable() -> EvidenceSpec:
            transports.append(httpx.MockTransport(lambda _: httpx.Response(503)))
            return source

        yield World(AzureMonitorHistory(tracking), source, unreadable)


@contextmanager
def window_world(folder: Path) -> Generator[World]:
    dice = np.random.default_rng(7)
    for name in ("ref.csv", "now.csv"):
        pd.DataFrame({"a": dice.normal(size=500)}).to_csv(folder / name, index=False)
    document = {"kind": "drift", "reference": str(folder / "ref.csv"), "window": str(folder / "now.csv")}
    bad = DriftOfWindow.model_validate(document | {"window": str(folder / "none.csv")})
    yield World(DriftOfWindows(), DriftOfWindow.model_validate(document), lambda: bad)


@contextmanager
def gain_world(folder: Path) -> Generator[World]:
    dice = np.random.default_rng(3)
    batch = np.repeat(np.arange(12), 60)
    x = dice.normal(size=len(batch))
    at = [NOW - (12 - int(each)) * HOUR for each in batch]
    pd.DataFrame({"x": x, "at": at, "y": (x > 0).astype(int)}).to_parquet(folder / "rows.parquet")
    document = {"kind": "gain", "data": str(folder / "rows.parquet"), "label": "y", "batch": "at", "window": 3}
    bad = GainOfRetraining.model_validate(document | {"label": "none"})
    yield World(GainsOfRetraining(None), GainOfRetraining.model_validate(document), lambda: bad)


WORLDS: dict[type, Callable[[Path], AbstractContextManager[World]]] = {
    MemorySource: memory_world,
    LogAnalytics: logs_world,
    AzureMonitorHistory: monitor_world,
    DriftOfWindows: window_world,
    GainsOfRetraining: gain_world,
}


@pytest.fixture(params=IMPLEMENTATIONS, ids=lambda reader: reader.__name__)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[World]:
    with WORLDS[request.param](tmp_path) as ready:
        yield ready


def test_reader_keeps_its_obligations(world: World) -> None:
    """Reading changes nothing, nothing later than `now` is read, and a source that cannot be read says so."""
    signals = world.read(world.source, NOW)
    assert signals
    assert world.read(world.source, NOW) == signals

    earlier = NOW - HOUR - timedelta(minutes=1)
    with suppress(InvalidTable):  # a file with rows of the future is refused
        assert [signal for signal in world.read(world.source, earlier) if signal.at > earlier] == []

    with pytest.raises((TemporaryError, AzureRefused, InvalidTable)):
        world.read(world.unreadable(), NOW)
