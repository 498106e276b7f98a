"""Azure as a user of anew has it at first: a pipeline, a first model and its tags. Created by the real SDKs."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anew.errors import DemoFailed
from anew.settings import Settings
from anew.wiring import azure_access, data_factory_client, event_grid_client, ml_client

if TYPE_CHECKING:
    from azure.ai.ml import MLClient

_DEADLINE = 60.0


@dataclass(frozen=True)
class FirstModel:
    """The first version of a model: its training data, and the tags that deploy it."""

    model: str
    data: str
    train_rows: int
    tags: dict[str, str]


class AzureSetup:
    """Creates the Azure side of the demo."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._access = azure_access(settings)
        self._ml: MLClient = ml_client(settings, self._access)

    def publish_pipeline(self, definition: Path, name: str) -> None:
        """Create the Data Factory pipeline with this workspace as the default of its parameters."""
        azure = self._settings.azure
        document: dict[str, Any] = json.loads(definition.read_text())
        defaults = {
            "subscription_id": azure.subscription_id,
            "resource_group": azure.resource_group,
            "workspace": azure.workspace,
            "management_url": self._access.endpoint,
        }
        for parameter, value in defaults.items():
            document["properties"]["parameters"][parameter]["defaultValue"] = value
        self.publish_document(document, name)

    def publish_document(self, document: dict[str, Any], name: str) -> None:
        """Create a Data Factory pipeline from this document."""
        azure = self._settings.azure
        client = data_factory_client(self._settings, self._access)
        client.pipelines.create_or_update(azure.resource_group, azure.data_factory or "", name, document)  # pyright: ignore[reportArgumentType, reportCallIssue] - the SDK takes plain JSON too

    def subscribe(self, webhook_url: str) -> str:
        """Create the Event Grid subscription; returns its state. The webhook must answer the handshake meanwhile."""
        from anew.adapters.azure.event_grid.subscriptions import subscribe_webhook

        client = event_grid_client(self._settings, self._access)
        return subscribe_webhook(client, self._settings.workspace, webhook_url, "anew-demo")

    def train_first(self, first: FirstModel, definition: Path) -> None:
        """Train and register version 1, as it would exist before anew is installed."""
        from azure.ai.ml.entities import Model

        from anew.adapters.azure.machine_learning.workspace import load_named

        name = f"{first.model}-first"
        job = load_named(definition, name, {"data": first.data, "train_rows": first.train_rows}, {})
        self._ml.jobs.create_or_update(job)
        self._wait_for(name)
        path = f"azureml://jobs/{name}/outputs/model"
        entity = Model(name=first.model, version="1", path=path, type="mlflow_model", tags=first.tags)
        self._ml.models.create_or_update(entity)

    def _wait_for(self, job: str) -> None:
        deadline = time.monotonic() + _DEADLINE
        while (status := self._ml.jobs.get(job).status) not in ("Completed", "Failed", "Canceled"):
            if time.monotonic() > deadline:
                raise DemoFailed(f"job {job} is still {status} after {_DEADLINE:.0f} s")
            time.sleep(0.1)
        if status != "Completed":
            raise DemoFailed(f"job {job} {status}")
