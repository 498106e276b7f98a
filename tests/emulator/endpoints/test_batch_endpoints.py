"""Batch endpoints and deployments of local Azure through the real, unmodified Azure ML client."""

from typing import Any

import pytest
from azure.ai.ml.entities import BatchEndpoint, ModelBatchDeployment, ModelBatchDeploymentSettings
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from anew.emulator.base.state import Document
from anew.emulator.machine_learning.events import MODEL_DEPLOYED
from tests.emulator.support import RunningAzure, register

ENDPOINT = "fraud-batch"


@pytest.fixture
def endpoint(ml_client: Any) -> str:
    """A batch endpoint, and a registered model fraud:1 that nobody trained."""
    register(ml_client, "fraud", "1", "job-1")
    ml_client.batch_endpoints.begin_create_or_update(BatchEndpoint(name=ENDPOINT)).result()
    return ENDPOINT


def deploy(client: Any, name: str, version: str = "1") -> Any:
    wanted = ModelBatchDeployment(
        name=name,
        endpoint_name=ENDPOINT,
        model=f"azureml:fraud:{version}",
        compute="cpu",
        settings=ModelBatchDeploymentSettings(mini_batch_size=10, instance_count=2),
    )
    return client.batch_deployments.begin_create_or_update(wanted).result()


def make_default(client: Any, name: str) -> Any:
    found = client.batch_endpoints.get(ENDPOINT)
    found.defaults = {"deployment_name": name}
    client.batch_endpoints.begin_create_or_update(found).result()
    return client.batch_endpoints.get(ENDPOINT)


@pytest.mark.parametrize("async_operations", [False, True])
def test_deployment_becomes_the_default(
    local_azure: RunningAzure, ml_client: Any, endpoint: str, *, async_operations: bool
) -> None:
    """A deployment becomes the default of its batch endpoint without a deployment event."""
    events: list[Document] = []
    local_azure.cloud.on_event(events.append)
    local_azure.control.set_modes(async_operations=async_operations)

    deployment = deploy(ml_client, "blue")
    shown = make_default(ml_client, "blue")

    assert (deployment.name, deployment.provisioning_state) == ("blue", "Succeeded")
    assert deployment.model.endswith("/models/fraud/versions/1")
    assert (shown.defaults.deployment_name, shown.provisioning_state) == ("blue", "Succeeded")
    assert [each.name for each in ml_client.batch_endpoints.list()] == [endpoint]
    noted = [entry["action"] for entry in local_azure.control.journal()][-3:]
    assert noted == ["batch_endpoint.created", "batch_deployment.created", "batch_endpoint.default"]
    assert not any(event["eventType"] == MODEL_DEPLOYED for event in events)


def test_missing_default_is_refused(ml_client: Any, endpoint: str) -> None:
    """A default that does not exist is refused and the current one stays."""
    deploy(ml_client, "blue")
    make_default(ml_client, "blue")

    with pytest.raises(HttpResponseError, match="green does not exist"):
        make_default(ml_client, "green")

    assert ml_client.batch_endpoints.get(endpoint).defaults.deployment_name == "blue"


def test_default_deployment_cannot_be_deleted(ml_client: Any, endpoint: str) -> None:
    """The default deployment cannot be deleted until another one is the default."""
    for name in ("blue", "green"):
        deploy(ml_client, name)
    make_default(ml_client, "blue")

    with pytest.raises(HttpResponseError, match="default"):
        ml_client.batch_deployments.begin_delete("blue", endpoint).result()
    make_default(ml_client, "green")
    ml_client.batch_deployments.begin_delete("blue", endpoint).result()

    assert [each.name for each in ml_client.batch_deployments.list(endpoint)] == ["green"]


def test_unregistered_model_is_refused(ml_client: Any, endpoint: str) -> None:
    """A deployment of an unregistered model is refused and leaves nothing behind."""
    with pytest.raises(HttpResponseError, match="fraud:9 was not found"):
        deploy(ml_client, "blue", "9")

    with pytest.raises(ResourceNotFoundError):
        ml_client.batch_deployments.get("blue", endpoint)


@pytest.mark.parametrize("async_operations", [False, True])
def test_endpoint_deletion_includes_deployments(
    local_azure: RunningAzure, ml_client: Any, endpoint: str, *, async_operations: bool
) -> None:
    """A deleted endpoint is gone together with its deployments."""
    deploy(ml_client, "blue")
    local_azure.control.set_modes(async_operations=async_operations)

    ml_client.batch_endpoints.begin_delete(endpoint).result()

    assert list(ml_client.batch_endpoints.list()) == []
    with pytest.raises(ResourceNotFoundError):
        ml_client.batch_deployments.get("blue", endpoint)
