"""What scoring and slow operations come down to, beyond what the contract of the ports asks."""

from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest

from anew.adapters.azure.machine_learning.endpoints import refuse_unless_written
from anew.adapters.azure.machine_learning.online_endpoints import OnlineEndpoints
from anew.adapters.azure.machine_learning.workspace import AzureMLRegistry
from anew.core.policies.deploy import Deploy
from anew.engine.base.ports import DeploymentState, ModelVersion
from anew.errors import AzureRefused, AzureUnavailable
from tests.adapters.failing_server import FailingServer, failing_server
from tests.contract.azure_worlds import SCORE_REQUEST, RealClients, keep_changing, real_clients
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


@pytest.fixture(autouse=True)
def usual_modes(clients: RealClients) -> Iterator[None]:
    yield
    clients.azure.control.set_modes(async_operations=False, operation_seconds=0.15, deployment_seconds=0)
    clients.azure.control.clear_faults()


def registered(clients: RealClients, version: str) -> ModelVersion:
    """A version whose model can be loaded."""
    job = f"train-{version}"
    save_threshold_model(clients.azure, job, 0.5)
    model = ModelVersion("price", version, {}, f"azureml://jobs/{job}/outputs/model")
    AzureMLRegistry(lambda: clients.ml).register(model, "mlflow_model", "why")
    return model


def two_deployed(clients: RealClients, endpoints: OnlineEndpoints, name: str) -> str:
    """An endpoint whose blue deployment takes all traffic, and its green one none."""
    endpoints.ensure(name)
    for color in ("blue", "green"):
        endpoints.create_deployment(name, color, registered(clients, "1"), RULE)
        wait_until(lambda color=color: endpoints.deployment_state(name, color) is DeploymentState.READY)
    endpoints.set_traffic(name, {"blue": 100})
    return name


def test_deployment_creation_is_not_awaited(clients: RealClients, endpoints: OnlineEndpoints) -> None:
    """A deployment is left in creation, and a repeated request meanwhile raises `AzureUnavailable`."""
    endpoints.ensure(ENDPOINT)
    model = registered(clients, "1")
    clients.azure.control.set_modes(deployment_seconds=1)

    endpoints.create_deployment(ENDPOINT, "blue", model, RULE)

    assert endpoints.deployment_state(ENDPOINT, "blue") is DeploymentState.CREATING
    with pytest.raises(AzureUnavailable, match="409"):
        endpoints.create_deployment(ENDPOINT, "blue", model, RULE)
    assert wait_until(lambda: endpoints.deployment_state(ENDPOINT, "blue") is DeploymentState.READY)


def test_deployment_follows_its_rule(clients: RealClients, endpoints: OnlineEndpoints) -> None:
    """An online deployment has the instance type and count of its rule."""
    endpoints.ensure("sized-online")
    rule = RULE.model_copy(update={"instance_type": "Standard_F4s_v2", "instance_count": 3})

    endpoints.create_deployment("sized-online", "blue", registered(clients, "1"), rule)

    made = clients.ml.online_deployments.get("blue", "sized-online")
    assert (made.instance_type, made.instance_count) == ("Standard_F4s_v2", 3)


def test_unloadable_model_fails_its_deployment(clients: RealClients, endpoints: OnlineEndpoints) -> None:
    """A deployment of a model that cannot be loaded ends as failed."""
    model = ModelVersion("price", "9", {}, "azureml://jobs/never-ran/outputs/model")
    AzureMLRegistry(lambda: clients.ml).register(model, "mlflow_model", "why")
    endpoints.ensure("broken-online")

    endpoints.create_deployment("broken-online", "blue", model, RULE)

    assert wait_until(lambda: endpoints.deployment_state("broken-online", "blue") is DeploymentState.FAILED)


def test_slow_endpoint_is_not_awaited(clients: RealClients, endpoints: OnlineEndpoints) -> None:
    """A slow endpoint raises `AzureUnavailable` until it is ready, and is created once."""
    clients.azure.control.set_modes(async_operations=True, operation_seconds=1)

    for _ in range(2):
        with pytest.raises(AzureUnavailable):
            endpoints.ensure("slow-online")

    def ready() -> bool:
        try:
            endpoints.ensure("slow-online")
        except AzureUnavailable:
            return False
        return True

    assert wait_until(ready)
    assert [each.get("name") for each in clients.azure.control.journal("endpoint.created")].count("slow-online") == 1


def test_slow_shift_is_awaited_with_patience(
    clients: RealClients, endpoints: OnlineEndpoints, http: httpx.Client
) -> None:
    """A slow traffic shift raises `AzureUnavailable` once patience is over."""
    name = two_deployed(clients, endpoints, "slow-to-shift")
    clients.azure.control.set_modes(async_operations=True, operation_seconds=1)
    hasty = OnlineEndpoints(lambda: clients.ml, http, patience=timedelta(seconds=0.1))

    with pytest.raises(AzureUnavailable, match="not finished yet"):
        hasty.set_traffic(name, {"green": 100})
    with pytest.raises(AzureUnavailable, match="409"):
        hasty.set_traffic(name, {"blue": 100})

    view = endpoints.view(name)
    assert view is not None
    assert view.traffic["green"] == 100


def test_awaited_shift_is_visible(clients: RealClients, endpoints: OnlineEndpoints) -> None:
    """A slow traffic shift is visible to the next call once it was awaited."""
    name = two_deployed(clients, endpoints, "shifting-online")
    clients.azure.control.set_modes(async_operations=True, operation_seconds=0.5)

    endpoints.set_traffic(name, {"green": 100})
    endpoints.set_traffic(name, {"blue": 100}, expected={"green": 100})


@pytest.mark.parametrize(("is_changing", "error"), [(True, AzureUnavailable), (False, AzureRefused)])
def test_refusal_is_transient_during_changes(
    clients: RealClients, endpoints: OnlineEndpoints, is_changing: bool, error: type[Exception]
) -> None:
    """A refusal is transient only while Azure is changing the endpoint."""
    name = two_deployed(clients, endpoints, f"refusing-{is_changing}".casefold())
    if is_changing:
        keep_changing(clients, "online", name)
    clients.azure.control.set_faults({"methods": ["PUT"], "path": f"{name}$", "kind": "status", "status": 400})

    with pytest.raises(error):
        endpoints.set_traffic(name, {"green": 100})


def test_unconfirmed_traffic_is_inconclusive() -> None:
    """Traffic that reads back differently than written raises `AzureUnavailable`."""
    refuse_unless_written("e", ({"blue": 100, "green": 0}, {"blue": 100}), ({}, {"green": 0}))

    with pytest.raises(AzureUnavailable, match="does not show"):
        refuse_unless_written("e", ({"blue": 90, "green": 10}, {"blue": 100}), ({}, {}))
    with pytest.raises(AzureUnavailable, match="does not show"):
        refuse_unless_written("e", ({"blue": 100}, {"blue": 100}), ({"green": 20}, {}))


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
def test_scoring_error_follows_its_status(
    server: FailingServer, failing: OnlineEndpoints, status: int, error: type[Exception]
) -> None:
    """The status of a failed scoring request decides whether the error is transient."""
    server.status = status

    with pytest.raises(error, match=str(status)):
        failing.score("failing-online", SCORE_REQUEST)

    assert server.requests["POST"] == 1


def test_scoring_without_answer_is_inconclusive(clients: RealClients) -> None:
    """Scoring without an answer raises `AzureUnavailable`."""
    OnlineEndpoints(lambda: clients.ml).ensure("silent-online")
    with failing_server() as gone:
        proxy = gone.url

    with httpx.Client(proxy=proxy) as http, pytest.raises(AzureUnavailable, match="did not answer"):
        OnlineEndpoints(lambda: clients.ml, http).score("silent-online", SCORE_REQUEST)


def test_forced_deployment_does_not_stick(clients: RealClients, endpoints: OnlineEndpoints) -> None:
    """A deployment forced for one request does not affect later requests."""
    two_deployed(clients, endpoints, "sticky-online")

    answered = [endpoints.score("sticky-online", SCORE_REQUEST, name)[0] for name in ("green", None, "green", None)]

    assert answered == ["green", "blue", "green", "blue"]
