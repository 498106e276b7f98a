"""What scoring and slow operations come down to, beyond what the contract of the ports asks."""

from collections.abc import Iterator

import httpx
import pytest

from anew.adapters.azure_ml import AzureMLRegistry
from anew.adapters.online_endpoints import OnlineEndpoints
from anew.core.policy import Deploy
from anew.engine.ports import DeploymentState, ModelVersion
from anew.errors import AzureRefused, AzureUnavailable
from tests.adapters.failing_server import FailingServer, failing_server
from tests.contract.azure_worlds import SCORE_REQUEST, RealClients, real_clients
from tests.emulator.support import save_threshold_model, wait_until

ENDPOINT = "price-online"
RULE = Deploy.model_validate({"match": {"stage": "production"}, "endpoint": ENDPOINT})


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealClients]:
    with real_clients(tmp_path_factory.mktemp("endpoints")) as ready:
        yield ready


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client() as client:
        yield client


@pytest.fixture
def endpoints(clients: RealClients, http: httpx.Client) -> OnlineEndpoints:
    return OnlineEndpoints(lambda: clients.ml, http)


def test_deployment_is_being_created_until_it_is_ready(clients: RealClients, endpoints: OnlineEndpoints) -> None:
    save_threshold_model(clients.azure, "train-1", 0.5)
    model = ModelVersion("price", "1", {}, "azureml://jobs/train-1/outputs/model")
    AzureMLRegistry(lambda: clients.ml).register(model, "mlflow_model", "why")
    endpoints.ensure(ENDPOINT)
    clients.azure.control.set_modes(async_operations=True)
    try:
        endpoints.create_deployment(ENDPOINT, "blue", model, RULE)
        seen = {endpoints.deployment_state(ENDPOINT, "blue")}

        def ready() -> bool:
            seen.add(endpoints.deployment_state(ENDPOINT, "blue"))
            return DeploymentState.READY in seen

        assert wait_until(ready)
    finally:
        clients.azure.control.set_modes(async_operations=False)

    assert seen <= {DeploymentState.CREATING, DeploymentState.READY}


def test_endpoint_that_is_slow_to_make_is_there_when_ensure_returns(
    clients: RealClients, endpoints: OnlineEndpoints
) -> None:
    clients.azure.control.set_modes(async_operations=True)
    try:
        endpoints.ensure("slow-online")
    finally:
        clients.azure.control.set_modes(async_operations=False)

    assert endpoints.view("slow-online") is not None


@pytest.fixture
def server() -> Iterator[FailingServer]:
    with failing_server() as ready:
        yield ready


@pytest.fixture
def failing(clients: RealClients, server: FailingServer) -> Iterator[OnlineEndpoints]:
    """Endpoints whose scoring requests end at the failing server, on their way by a proxy."""
    endpoint = OnlineEndpoints(lambda: clients.ml)
    endpoint.ensure("failing-online")
    with httpx.Client(proxy=server.url) as http:
        yield OnlineEndpoints(lambda: clients.ml, http)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (500, AzureUnavailable),
        (503, AzureUnavailable),
        (429, AzureUnavailable),
        (400, AzureRefused),
        (424, AzureRefused),
    ],
)
def test_scoring_that_fails_may_pass_or_not_by_its_status(
    server: FailingServer, failing: OnlineEndpoints, status: int, error: type[Exception]
) -> None:
    server.status = status

    with pytest.raises(error, match=str(status)):
        failing.score("failing-online", SCORE_REQUEST)

    assert server.requests["POST"] == 1


def test_scoring_without_any_answer_is_of_unknown_outcome(clients: RealClients) -> None:
    OnlineEndpoints(lambda: clients.ml).ensure("silent-online")
    with failing_server() as gone:
        proxy = gone.url

    with httpx.Client(proxy=proxy) as http, pytest.raises(AzureUnavailable, match="did not answer"):
        OnlineEndpoints(lambda: clients.ml, http).score("silent-online", SCORE_REQUEST)


def test_forced_deployment_does_not_stick_to_later_requests(clients: RealClients, endpoints: OnlineEndpoints) -> None:
    endpoints.ensure("sticky-online")
    save_threshold_model(clients.azure, "train-2", 0.5)
    model = ModelVersion("price", "2", {}, "azureml://jobs/train-2/outputs/model")
    AzureMLRegistry(lambda: clients.ml).register(model, "mlflow_model", "why")
    for color in ("blue", "green"):
        endpoints.create_deployment("sticky-online", color, model, RULE)
        wait_until(lambda color=color: endpoints.deployment_state("sticky-online", color) is DeploymentState.READY)
    endpoints.set_traffic("sticky-online", {"blue": 100})

    answered = [endpoints.score("sticky-online", SCORE_REQUEST, name)[0] for name in ("green", None, "green", None)]

    assert answered == ["green", "blue", "green", "blue"]
