"""What becomes of a rule on a batch endpoint, beyond what the contract of the ports asks."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from anew.adapters.azure.machine_learning.batch_endpoints import BatchEndpoints
from anew.adapters.azure.machine_learning.workspace import AzureMLRegistry
from anew.core.policies.deploy import Deploy
from anew.engine.base.ports import DeploymentState, ModelVersion
from anew.errors import AzureUnavailable
from tests.contract.azure_worlds import RealClients, real_clients
from tests.emulator.support import wait_until

ENDPOINT = "price-batch"
MODEL = ModelVersion("price", "1", {}, "azureml://jobs/train-1/outputs/model")


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealClients]:
    with real_clients(tmp_path_factory.mktemp("batch")) as ready:
        AzureMLRegistry(lambda: ready.ml).register(MODEL, "mlflow_model", "why")
        yield ready


@pytest.fixture
def endpoints(clients: RealClients) -> Iterator[BatchEndpoints]:
    yield BatchEndpoints(lambda: clients.ml)
    clients.azure.control.set_modes(async_operations=False, operation_seconds=0.15, deployment_seconds=0)


def rule(**changes: Any) -> Deploy:
    document = {"match": {"stage": "production"}, "kind": "batch", "endpoint": ENDPOINT, "compute": "cpu"}
    return Deploy.model_validate(document | changes)


def test_deployment_follows_its_rule(clients: RealClients, endpoints: BatchEndpoints) -> None:
    """A batch deployment has the compute, instances and environment of its rule."""
    endpoints.ensure(ENDPOINT)

    endpoints.create_deployment(ENDPOINT, "blue", MODEL, rule(instance_count=3, environment="azureml:scoring:2"))

    made: Any = clients.ml.batch_deployments.get("blue", ENDPOINT)
    assert str(made.compute).endswith("/computes/cpu")
    assert str(made.environment).endswith("/environments/scoring/versions/2")
    assert made.resources.instance_count == 3


def test_deployment_creation_is_not_awaited(clients: RealClients, endpoints: BatchEndpoints) -> None:
    """A deployment is left in creation, and a repeated request meanwhile raises `AzureUnavailable`."""
    endpoints.ensure(ENDPOINT)
    clients.azure.control.set_modes(deployment_seconds=1)

    endpoints.create_deployment(ENDPOINT, "slow", MODEL, rule())

    assert endpoints.deployment_state(ENDPOINT, "slow") is DeploymentState.CREATING
    with pytest.raises(AzureUnavailable, match="409"):
        endpoints.create_deployment(ENDPOINT, "slow", MODEL, rule())
    assert wait_until(lambda: endpoints.deployment_state(ENDPOINT, "slow") is DeploymentState.READY)


def test_slow_endpoint_is_not_awaited(clients: RealClients, endpoints: BatchEndpoints) -> None:
    """An endpoint that is slow to create raises `AzureUnavailable` instead of blocking."""
    clients.azure.control.set_modes(async_operations=True, operation_seconds=1)

    for _ in range(2):
        with pytest.raises(AzureUnavailable):
            endpoints.ensure("slow-batch")


def test_slow_switch_is_awaited_with_patience(clients: RealClients, endpoints: BatchEndpoints) -> None:
    """A slow switch of the default raises `AzureUnavailable` once patience is over."""
    endpoints.ensure("slow-to-switch")
    endpoints.create_deployment("slow-to-switch", "blue", MODEL, rule())
    clients.azure.control.set_modes(async_operations=True, operation_seconds=1)
    hasty = BatchEndpoints(lambda: clients.ml, patience=timedelta(seconds=0.1))

    with pytest.raises(AzureUnavailable, match="not finished yet"):
        hasty.set_traffic("slow-to-switch", {"blue": 100})

    view = endpoints.view("slow-to-switch")
    assert view is not None
    assert view.traffic == {"blue": 100}
