"""The two worlds behind the Azure ports: the one in memory, and local Azure through the real SDK clients."""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import httpx
import yaml
from azure.ai.ml import MLClient
from azure.mgmt.datafactory import DataFactoryManagementClient
from azure.monitor.query import LogsQueryClient

from anew.adapters.azure.data_factory.launcher import DataFactoryTraining
from anew.adapters.azure.machine_learning.batch_endpoints import BatchEndpoints
from anew.adapters.azure.machine_learning.missed_events import AzureMissedEvents
from anew.adapters.azure.machine_learning.mlflow_tracking import MlflowTracking
from anew.adapters.azure.machine_learning.monitor_history import AzureMonitorHistory
from anew.adapters.azure.machine_learning.online_endpoints import OnlineEndpoints
from anew.adapters.azure.machine_learning.workspace import AzureMLJobs, AzureMLRegistry, AzureMLTraining
from anew.adapters.azure.monitor.log_analytics import LogAnalytics
from anew.adapters.azure.sending import refuse_late
from anew.adapters.memory.azure import Ending, MemoryAzure, MemoryJobs, MemoryPipelines, MemoryTrainingJobs
from anew.adapters.memory.endpoints import MemoryRegistry, memory_endpoints
from anew.core.events.event import Workspace
from anew.engine.base.ports import Endpoints, Jobs, ModelRegistry, TrainingLauncher
from tests.emulator.support import (
    RESOURCE_GROUP,
    SUBSCRIPTION,
    WORKSPACE,
    RunningAzure,
    make_ml_client,
    run_local_azure,
    save_threshold_model,
    train_document,
    wait_until,
    write_rows,
)

T = TypeVar("T")
FACTORY = "adf-anew"
PIPELINE = "retrain"
CHANGING_SECONDS = 1.0
LOGS = "00000000-0000-0000-0000-00000000000a"
SCORE_REQUEST = {"input_data": {"columns": ["a", "b"], "data": [[0.3, 0.0]]}}


def soon() -> datetime:
    """A moment that has not come when the request is sent."""
    return datetime.now(UTC) + timedelta(minutes=1)


@dataclass(frozen=True)
class AzureWorld:
    """The ports over one world, and what a test needs to do to it.

    `endpoints` are by kind, `document` is a training job, `make_model` leaves a model behind as the output of a job,
    `keep_changing` lets Azure go on changing an endpoint of a kind for a while, and `until` lets time pass until the
    probe gives an answer.
    """

    pipelines: TrainingLauncher
    training_jobs: TrainingLauncher
    jobs: Jobs
    registry: ModelRegistry
    endpoints: Mapping[str, Endpoints]
    document: str
    make_model: Callable[[str], None]
    keep_changing: Callable[[str, str], None]
    until: Callable[[Callable[[], Any]], Any]


@contextmanager
def memory_world() -> Generator[AzureWorld]:
    """The world in memory."""
    azure = MemoryAzure(lambda: datetime.now(UTC))
    azure.endings["train.yml"] = Ending(metrics={"train_accuracy": 0.9, "train_loss": float("nan")})

    def until(probe: Callable[[], T | None]) -> T:
        azure.settle()
        answer = probe()
        assert answer
        return answer

    def make_model(_: str) -> None:
        """Nobody looks at a model in memory."""

    def keep_changing(_: str, endpoint: str) -> None:
        azure.changing.add(endpoint)

    yield AzureWorld(
        MemoryPipelines(azure),
        MemoryTrainingJobs(azure),
        MemoryJobs(azure),
        MemoryRegistry(azure),
        memory_endpoints(azure),
        "train.yml",
        make_model,
        keep_changing,
        until,
    )


@dataclass(frozen=True)
class RealClients:
    """The SDK clients on a local Azure, and the adapters that only they have."""

    azure: RunningAzure
    ml: MLClient
    factory: DataFactoryManagementClient
    logs: LogsQueryClient

    @property
    def log_analytics(self) -> LogAnalytics:
        """The metrics adapter."""
        return LogAnalytics(lambda: self.logs, LOGS)

    @property
    def tracking(self) -> MlflowTracking:
        """The MLflow API of the workspace."""
        return MlflowTracking(lambda: self.ml, self.azure.connection.credential)

    @property
    def missed(self) -> AzureMissedEvents:
        """The adapter that asks what happened."""
        history = AzureMonitorHistory(self.tracking)
        workspace = Workspace(SUBSCRIPTION, RESOURCE_GROUP, WORKSPACE)
        return AzureMissedEvents(self.log_analytics, lambda: self.ml, workspace, history.experiment_id)


@contextmanager
def real_clients(folder: Path) -> Generator[RealClients]:
    """A local Azure, with one pipeline in its data factory and labelled rows in its store, and the clients of it."""
    with run_local_azure(folder / "azure") as azure:
        at = azure.connection
        factory = DataFactoryManagementClient(
            at.credential,
            SUBSCRIPTION,
            base_url=at.base_url,
            per_call_policies=at.policies(),
            raw_request_hook=refuse_late,
        )
        logs = LogsQueryClient(
            at.credential,
            endpoint=at.base_url,
            audience="https://api.loganalytics.io",
            per_call_policies=at.policies(),
        )
        with factory, logs:
            _put_pipeline(factory)
            write_rows(folder / "azure")
            yield RealClients(azure, make_ml_client(azure, raw_request_hook=refuse_late), factory, logs)


def _put_pipeline(factory: DataFactoryManagementClient) -> None:
    text = {"type": "string"}
    properties = {
        "parameters": {"anew_retraining_id": text, "anew_job_name": text},
        "activities": [{"name": "Pause", "type": "Wait", "typeProperties": {"waitTimeInSeconds": 1}}],
    }
    body: Any = {"properties": properties}
    factory.pipelines.create_or_update(RESOURCE_GROUP, FACTORY, PIPELINE, body)


def keep_changing(clients: RealClients, kind: str, endpoint: str, *, seconds: float = CHANGING_SECONDS) -> None:
    """Write an endpoint as it is, which takes local Azure so long that others are refused meanwhile."""
    operations: Any = {"online": clients.ml.online_endpoints, "batch": clients.ml.batch_endpoints}[kind]
    found = operations.get(endpoint)
    clients.azure.control.set_modes(async_operations=True, operation_seconds=seconds)
    try:
        operations.begin_create_or_update(found)
    finally:
        clients.azure.control.set_modes(async_operations=False)


@contextmanager
def real_world(folder: Path) -> Generator[AzureWorld]:
    """Local Azure through the adapters that are used on the real one."""
    with real_clients(folder) as clients:
        document = folder / "train.yml"
        content = train_document("unnamed")
        document.write_text(
            yaml.safe_dump({key: value for key, value in content.items() if key not in ("name", "tags")})
        )
        jobs = AzureMLJobs(lambda: clients.ml, clients.log_analytics, clients.tracking)
        with httpx.Client() as http:
            yield AzureWorld(
                DataFactoryTraining(clients.factory, RESOURCE_GROUP, FACTORY),
                AzureMLTraining(jobs),
                jobs,
                AzureMLRegistry(lambda: clients.ml),
                {
                    "online": OnlineEndpoints(lambda: clients.ml, http),
                    "batch": BatchEndpoints(lambda: clients.ml),
                },
                str(document),
                partial(save_threshold_model, clients.azure, threshold=0.5),
                partial(keep_changing, clients),
                partial(wait_until, seconds=30.0),
            )
