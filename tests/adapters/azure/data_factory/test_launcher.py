"""What createRun's missing idempotency asks of the adapter: one request a launch, whatever the answer."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from azure.mgmt.datafactory import DataFactoryManagementClient

from anew.adapters.azure.data_factory.launcher import DataFactoryTraining
from anew.adapters.azure.sending import refuse_late
from anew.core.policies.policy import DataFactoryLauncher
from anew.emulator.arm.credentials import connection
from anew.engine.base.ports import TrainingOrder
from anew.errors import AzureNotFound, AzureRefused, AzureUnavailable
from tests.adapters.failing_server import FailingServer, failing_server
from tests.contract.azure_worlds import FACTORY, RealClients, real_clients, soon
from tests.emulator.support import RESOURCE_GROUP, SUBSCRIPTION


@pytest.fixture
def server() -> Iterator[FailingServer]:
    with failing_server() as ready:
        yield ready


@pytest.fixture
def training(server: FailingServer) -> Iterator[DataFactoryTraining]:
    at = connection(server.url)
    client = DataFactoryManagementClient(
        at.credential,
        SUBSCRIPTION,
        base_url=server.url,
        per_call_policies=at.policies(),
        retry_backoff_factor=0,
        raw_request_hook=refuse_late,
    )
    with client:
        yield DataFactoryTraining(client, RESOURCE_GROUP, FACTORY)


def order(name: str = "r-1", **launcher: str) -> TrainingOrder:
    made = DataFactoryLauncher.model_validate({"kind": "adf", "pipeline": "retrain"} | launcher)
    return TrainingOrder(name, f"{name}-train", "price", made, datetime.now(UTC))


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_ambiguous_launch_is_sent_once(server: FailingServer, training: DataFactoryTraining, status: int) -> None:
    """A launch with an ambiguous answer is sent once and not retried."""
    server.status, server.headers = status, {"Retry-After": "0"}

    with pytest.raises(AzureUnavailable, match=str(status)):
        training.launch(order(), soon())

    assert server.requests["POST"] == 1


@pytest.mark.parametrize(("status", "error"), [(400, AzureRefused), (403, AzureRefused), (404, AzureNotFound)])
def test_refused_launch_says_why(
    server: FailingServer, training: DataFactoryTraining, status: int, error: type[Exception]
) -> None:
    """A refused launch raises the matching error with the reason that Azure gave."""
    server.status = status

    with pytest.raises(error, match="try later"):
        training.launch(order(), soon())


def test_launch_without_answer_is_inconclusive() -> None:
    """A launch that gets no answer raises `AzureUnavailable`, as its outcome is unknown."""
    with failing_server() as gone:
        at = connection(gone.url)
    client = DataFactoryManagementClient(
        at.credential, SUBSCRIPTION, base_url=at.base_url, per_call_policies=at.policies()
    )

    with client, pytest.raises(AzureUnavailable, match="no answer"):
        DataFactoryTraining(client, RESOURCE_GROUP, FACTORY).launch(order(), soon())


def test_launcher_needs_a_factory(training: DataFactoryTraining) -> None:
    """A launcher without a data factory is refused, with advice on the missing setting."""
    training = DataFactoryTraining(training._client, RESOURCE_GROUP, None)  # pyright: ignore[reportPrivateUsage]

    with pytest.raises(AzureRefused) as refused:
        training.launch(order(), soon())

    assert "azure.data_factory" in refused.value.advice


def test_unlistable_factory_spares_the_others(server: FailingServer, training: DataFactoryTraining) -> None:
    """A factory that refuses to list its runs does not stop the poll of the others."""
    server.status = 403
    now = datetime.now(UTC)

    assert training.ended([order(factory=name).launcher for name in ("one", "another")], now, now) == set()

    assert server.requests["POST"] == 2


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealClients]:
    with real_clients(tmp_path_factory.mktemp("factory")) as ready:
        yield ready


def test_run_is_found_on_later_page(clients: RealClients) -> None:
    """A run is found although it is not on the first page of the query."""
    training = DataFactoryTraining(clients.factory, RESOURCE_GROUP, FACTORY)
    clients.azure.control.set_modes(pipeline_run_page_size=2)
    runs = {name: training.launch(order(name), soon()) for name in ("r-1", "r-2", "r-3", "r-4", "r-5")}

    assert {name: training.find(order(name)) for name in runs} == runs


def test_pipeline_gets_both_parameter_sets(clients: RealClients) -> None:
    """A pipeline run gets its configured parameters and the two that anew adds."""
    training = DataFactoryTraining(clients.factory, RESOURCE_GROUP, FACTORY)
    wanted = TrainingOrder(
        "r-6",
        "job-6",
        "price",
        DataFactoryLauncher(kind="adf", pipeline="retrain", parameters={"rows": 10}),
        datetime.now(UTC),
    )

    run = clients.factory.pipeline_runs.get(RESOURCE_GROUP, FACTORY, training.launch(wanted, soon()))

    assert run.parameters == {"rows": "10", "anew_retraining_id": "r-6", "anew_job_name": "job-6"}


def test_missing_pipeline_is_not_found(clients: RealClients) -> None:
    """A launch of a pipeline that does not exist raises `AzureNotFound`."""
    with pytest.raises(AzureNotFound, match="nothing"):
        DataFactoryTraining(clients.factory, RESOURCE_GROUP, FACTORY).launch(order(pipeline="nothing"), soon())
