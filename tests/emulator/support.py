"""What the tests of local Azure share: a served local Azure, its real client, a data set, and jobs as YAML."""

import socket
import threading
import time
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import uvicorn
import yaml

from anew.emulator.app import create_app, make_server
from anew.emulator.arm.credentials import Connection, connection
from anew.emulator.base.cloud import Cloud
from anew.emulator.client import LocalAzure
from anew.emulator.workloads.model_io import Classifier, save_model
from anew.emulator.workloads.table import Table
from anew.emulator.workloads.train import fit

# The SDK declares its schemas in ways that the marshmallow it asks for calls deprecated.
with warnings.catch_warnings(action="ignore"):
    from azure.ai.ml import MLClient, load_job  # pyright: ignore[reportUnknownVariableType]
    from azure.ai.ml.entities import ManagedOnlineDeployment, Model

_T = TypeVar("_T")

SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
RESOURCE_GROUP = "rg-anew"
WORKSPACE = "ws-anew"
WORKSPACE_ID = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{RESOURCE_GROUP}"
    f"/providers/Microsoft.MachineLearningServices/workspaces/{WORKSPACE}"
)
START_SECONDS = 10.0


@dataclass(frozen=True)
class RunningAzure:
    """A served local Azure: where it is, what it keeps, and its control API."""

    base_url: str
    cloud: Cloud
    control: LocalAzure

    @property
    def connection(self) -> Connection:
        """How the real SDK clients reach it."""
        return connection(self.base_url)


@contextmanager
def run_local_azure(folder: Path) -> Generator[RunningAzure]:
    """Serve the local Azure kept in folder until the block ends; usable twice on one folder to play a restart."""
    listener = socket.create_server(("127.0.0.1", 0))
    base_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    cloud = Cloud.open(folder, base_url)
    server = make_server(create_app(cloud, warm=False), "127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="local-azure", daemon=True)
    thread.start()
    try:
        _wait_until_started(server)
        with LocalAzure(base_url) as control:
            yield RunningAzure(base_url, cloud, control)
    finally:
        server.should_exit = True
        thread.join(START_SECONDS)
        listener.close()
        cloud.store.close()


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def _wait_until_started(server: uvicorn.Server) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not server.started:
        assert time.monotonic() < deadline, "local Azure did not start"
        time.sleep(0.01)


def make_ml_client(azure: RunningAzure, **options: Any) -> Any:
    """The real MLClient, unmodified, for the test workspace of this local Azure.

    Any, because the SDK's annotations leave half of its types unknown.
    """
    at = azure.connection
    return MLClient(
        at.credential,
        SUBSCRIPTION,
        RESOURCE_GROUP,
        WORKSPACE,
        cloud=at.cloud,
        cloud_metadata=at.cloud_metadata,
        show_progress=False,
        polling_interval=0.05,
        per_call_policies=at.policies(),
        **options,
    )


TRAIN = (
    "python -m anew.emulator.workloads.train --data ${{inputs.data}} --label target"
    " --train-rows ${{inputs.train_rows}} --holdout-rows ${{inputs.holdout_rows}} --out ${{outputs.model}}"
)
EVALUATE = (
    "python -m anew.emulator.workloads.evaluate --data ${{inputs.data}} --label target --rows ${{inputs.rows}}"
    " --champion ${{inputs.champion}} --challenger ${{inputs.challenger}}"
)
DATA_URI = "azureml://datastores/workspaceblobstore/paths/streams/rows.parquet"
FINAL = {"Completed", "Failed", "Canceled"}


def write_rows(folder: Path, count: int = 400) -> pd.DataFrame:
    """Labelled rows in the blob store of the local Azure kept in folder: the label is whether a exceeds b."""
    generator = np.random.default_rng(7)
    frame = pd.DataFrame({"a": generator.random(count), "b": generator.random(count)})
    frame["target"] = (frame["a"] > frame["b"]).astype(int)
    path = folder / "datastores" / "workspaceblobstore" / "streams" / "rows.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(path)
    return frame


def train_document(name: str, **changes: Any) -> dict[str, Any]:
    """A training job as its YAML file says it."""
    return {
        "$schema": "https://azuremlschemas.azureedge.net/latest/commandJob.schema.json",
        "type": "command",
        "name": name,
        "command": TRAIN,
        "environment": "azureml:anew-samples:1",
        "compute": "azureml:cpu",
        "experiment_name": "retraining",
        "inputs": {
            "data": {"type": "uri_file", "path": DATA_URI},
            "train_rows": 200,
            "holdout_rows": 100,
        },
        "outputs": {"model": {"type": "mlflow_model"}},
        "tags": {"anew_retraining_id": "r-1"},
    } | changes


def submit(client: Any, folder: Path, document: dict[str, Any]) -> Any:
    """Write the job as YAML and submit it, as a user of the SDK does."""
    path = folder / f"{document['name']}.yml"
    path.write_text(yaml.safe_dump(document))
    return client.jobs.create_or_update(load_job(source=path))


def wait_until(probe: Callable[[], _T | None], *, seconds: float = 15.0) -> _T:
    """The first answer of probe that is neither None nor False."""
    deadline = time.monotonic() + seconds
    while True:
        answer = probe()
        if answer is not None and answer is not False:
            return answer
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def wait_for_job(client: Any, name: str) -> Any:
    """The job once it is over."""

    def over() -> Any:
        job = client.jobs.get(name)
        return job if job.status in FINAL else None

    return wait_until(over)


def run_job(client: Any, folder: Path, document: dict[str, Any]) -> Any:
    """Submit the job and wait until it is over."""
    submit(client, folder, document)
    return wait_for_job(client, document["name"])


@cache
def _threshold_classifier(threshold: float) -> Classifier:
    values = np.linspace(0.0, 1.0, 200)
    rows = Table(("a", "b"), np.column_stack([values, np.zeros(200)]), (values > threshold).astype(np.int64))
    return fit(rows, seed=0)


def save_threshold_model(azure: RunningAzure, job: str, threshold: float) -> None:
    """A real trained model, as the output of that job, that answers 1 when its input a is above threshold."""
    folder = azure.cloud.folder / "runs" / job / "outputs" / "model"
    save_model(folder, _threshold_classifier(threshold), ("a", "b"))


def register(client: Any, name: str, version: str, job: str, tags: dict[str, str] | None = None) -> Any:
    """Register the model output of a job."""
    path = f"azureml://jobs/{job}/outputs/model"
    return client.models.create_or_update(Model(name=name, version=version, path=path, type="mlflow_model", tags=tags))


def deploy(client: Any, endpoint: str, deployment: str, model: str, version: str) -> Any:
    """Deploy a registered model and wait until that is over."""
    wanted = ManagedOnlineDeployment(
        name=deployment,
        endpoint_name=endpoint,
        model=f"azureml:{model}:{version}",
        instance_type="Standard_DS2_v2",
        instance_count=1,
    )
    return client.online_deployments.begin_create_or_update(wanted).result()


def set_traffic(client: Any, endpoint: str, traffic: dict[str, int], *, mirror: dict[str, int] | None = None) -> Any:
    """Replace the traffic of an endpoint and return the endpoint as it is then."""
    found: Any = client.online_endpoints.get(endpoint)
    found.traffic, found.mirror_traffic = traffic, mirror or {}
    client.online_endpoints.begin_create_or_update(found).result()
    return client.online_endpoints.get(endpoint)
