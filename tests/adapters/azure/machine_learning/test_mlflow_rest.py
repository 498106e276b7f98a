"""What a tracking server in trouble, or none at all, comes to; where a token is sent, and that no error shows it."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import httpx
import pytest
from azure.ai.ml import MLClient
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError

from anew.adapters.azure.machine_learning.mlflow_rest import MOST_BYTES, api_url
from anew.adapters.azure.machine_learning.mlflow_tracking import MlflowTracking, management_scope
from anew.adapters.azure.machine_learning.monitor_history import AzureMonitorHistory
from anew.core.evidence.history import History
from anew.core.evidence.signals import Signal
from anew.core.policies.evidence import MonitorHistory
from anew.errors import AzureNotFound, AzureRefused, AzureUnavailable
from tests.adapters.failing_server import FailingServer, failing_server
from tests.builders import policy

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
PSI = "PopulationStabilityIndex"
SECRET = "secret-token"


# --- what is no answer ------------------------------------------------------------------------------------


@dataclass
class FakeWorkspaces:
    """As much of an MLClient as is asked for the tracking address."""

    mlflow_tracking_uri: str | None
    workspace_name: str = "ws"
    asked: int = 0

    @property
    def workspaces(self) -> "FakeWorkspaces":
        return self

    def get(self, name: str) -> "FakeWorkspaces":
        self.asked += 1
        return self


@dataclass
class FakeCredential:
    """A credential that notes what it was asked for, or cannot be had."""

    failure: Exception | None = None
    scopes: list[str] = field(default_factory=list[str])

    def get_token(self, scope: str) -> AccessToken:
        self.scopes.append(scope)
        if self.failure:
            raise self.failure
        return AccessToken(SECRET, 0)


@pytest.fixture
def server() -> Iterator[FailingServer]:
    with failing_server() as ready:
        yield ready


def ask(
    uri: str | None, credential: FakeCredential | None = None, http: Callable[[], httpx.Client] = httpx.Client
) -> list[Signal]:
    client = cast(MLClient, FakeWorkspaces(uri))
    history = AzureMonitorHistory(MlflowTracking(lambda: client, credential or FakeCredential(), http))
    return history.read(MonitorHistory(kind="monitor_history"), policy(monitors=("m",)), History(), NOW)


def tracking(server: FailingServer) -> str:
    return server.url.replace("http://", "azureml://") + "/mlflow/v1.0/subscriptions/s"


@pytest.mark.parametrize("status", [429, 503])
def test_server_trouble_is_retried(server: FailingServer, status: int) -> None:
    """A server in trouble is retried and then raises `AzureUnavailable`."""
    server.status = status

    with pytest.raises(AzureUnavailable, match=f"experiments/get-by-name: HTTP {status}: try later"):
        ask(tracking(server))

    assert server.requests["GET"] == 3


@pytest.mark.parametrize("status", [400, 401, 403, 302])
def test_refusal_is_not_retried(server: FailingServer, status: int) -> None:
    """A refusal raises `AzureRefused` after one request, with advice where access is missing."""
    server.status, server.headers = status, {"Location": "http://127.0.0.1:1/"}

    with pytest.raises(AzureRefused, match=f"HTTP {status}") as caught:
        ask(tracking(server))

    assert server.requests["GET"] == 1
    assert bool(caught.value.advice) == (status in {401, 403})


def test_unreachable_server_is_unavailable() -> None:
    """An address without a server raises `AzureUnavailable`."""
    with pytest.raises(AzureUnavailable, match="no answer"):
        ask("azureml://127.0.0.1:9/mlflow/v1.0/subscriptions/s")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("<html>", "Invalid JSON"),
        ("[]", "wrong shape"),
        ("{}", "experiment: Field required"),
        ('{"experiment": {"experiment_id": null}}', "experiment.experiment_id: Input should be a valid string"),
    ],
)
def test_malformed_answer_names_the_fault(server: FailingServer, body: str, reason: str) -> None:
    """A malformed answer raises `AzureRefused` and names the faulty place."""
    server.status, server.body = 200, body

    with pytest.raises(AzureRefused, match=reason):
        ask(tracking(server))


def test_oversized_answer_is_refused(server: FailingServer) -> None:
    """An answer over the size limit raises `AzureRefused`."""
    server.status, server.body = 200, " " * (MOST_BYTES + 1)

    with pytest.raises(AzureRefused, match="larger than 16 MB"):
        ask(tracking(server))


def test_repeated_page_token_is_refused() -> None:
    """A page token that repeats raises `AzureRefused` instead of an endless loop."""
    with pytest.raises(AzureRefused, match="page again"):
        ask("azureml://host/mlflow/v1.0/s", http=scripted({"runs": [], "next_page_token": "x"}))


def test_non_numeric_value_is_refused() -> None:
    """A metric value that is no number raises `AzureRefused`."""
    run = {"info": {"run_id": "r"}, "data": {"tags": [{"key": "azureml.metric_name", "value": PSI}]}}
    history = {"metrics": [{"key": "value", "value": "high", "step": 1}]}

    with pytest.raises(AzureRefused, match=r"metrics\.0\.value: Input should be a valid number"):
        ask("azureml://host/mlflow/v1.0/s", http=scripted({"runs": [run]}, history))


def test_protobuf_json_numbers_are_read() -> None:
    """Numbers written as text and empty fields are read as protocol buffers write them."""
    # Protocol buffers write a NaN and 64-bit numbers as text, and leave out or null what is empty.
    step = int(NOW.timestamp())
    tags = [{"key": "azureml.metric_name", "value": PSI}, {"key": "mlflow.note", "value": None}]
    run = {"info": {"run_id": "r"}, "data": {"tags": tags, "metrics": None}}
    points = [{"key": "value", "value": "NaN", "step": str(step), "timestamp": str(step * 1000)}]

    [signal] = ask("azureml://host/mlflow/v1.0/s", http=scripted({"runs": [run]}, {"metrics": points}))

    assert (signal.value, signal.threshold, signal.at) == (None, None, NOW)


def test_ended_series_is_not_fetched() -> None:
    """A series that ended before the window is not fetched."""
    tags = [{"key": "azureml.metric_name", "value": PSI}]
    last = [{"key": "value", "value": 1.0, "step": int((NOW - 31 * DAY).timestamp())}]
    run = {"info": {"run_id": "r"}, "data": {"tags": tags, "metrics": last}}

    assert ask("azureml://host/mlflow/v1.0/s", http=scripted({"runs": [run]}, {"metrics": "would be refused"})) == []


def scripted(runs: dict[str, Any], history: dict[str, Any] | None = None) -> Callable[[], httpx.Client]:
    """Clients of an MLflow that knows one experiment and answers these."""
    answers: dict[str, dict[str, Any]] = {
        "get-by-name": {"experiment": {"experiment_id": "e"}},
        "experiments/search": {"experiments": [{"experiment_id": "e"}]},
        "runs/search": runs,
        "get-history": history or {},
    }

    def answer(request: httpx.Request) -> httpx.Response:
        [body] = [body for path, body in answers.items() if request.url.path.endswith(path)]
        return httpx.Response(200, json=body)

    return lambda: httpx.Client(transport=httpx.MockTransport(answer))


# --- where it is asked, and by whom -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "url"),
    [
        ("azureml://eastus.api.azureml.ms/mlflow/v1.0/subscriptions/s?", "https://eastus.api.azureml.ms/mlflow/v2.0/"),
        ("https://eastus.api.azureml.ms/mlflow/v2.0/subscriptions/s/", "https://eastus.api.azureml.ms/mlflow/v2.0/"),
        ("azureml://127.0.0.1:8711/mlflow/v1.0/subscriptions/s", "http://127.0.0.1:8711/mlflow/v2.0/"),
        ("http://localhost:8711/mlflow/v1.0/subscriptions/s", "http://localhost:8711/mlflow/v2.0/"),
    ],
)
def test_tracking_address_is_https(uri: str, url: str) -> None:
    """A tracking address is HTTPS, with plain HTTP allowed on loopback only."""
    assert api_url(uri) == f"{url}subscriptions/s/api/2.0/mlflow"


@pytest.mark.parametrize("uri", ["http://eastus.api.azureml.ms/mlflow", "file:///mlruns", "databricks", "azureml:///x"])
def test_no_token_is_sent_elsewhere(uri: str) -> None:
    """No token is sent to an address that is neither HTTPS nor loopback."""
    with pytest.raises(AzureRefused, match="no token is sent"):
        ask(uri)


def test_missing_tracking_address_is_refused() -> None:
    """A workspace without a tracking address raises `AzureRefused`."""
    with pytest.raises(AzureRefused, match="no MLflow tracking address"):
        ask(None)


def test_token_scope_follows_the_cloud() -> None:
    """The token is for Resource Manager of the configured cloud; an unknown cloud is refused."""
    assert management_scope("AzureCloud") == "https://management.azure.com/.default"
    assert management_scope("AzureChinaCloud") == "https://management.chinacloudapi.cn/.default"
    with pytest.raises(AzureRefused, match="SomeCloud"):
        management_scope("SomeCloud")


def test_failed_credential_has_advice() -> None:
    """A credential that fails raises `AzureRefused` with advice to sign in."""
    with pytest.raises(AzureRefused, match="get a token for MLflow") as caught:
        ask("azureml://host/mlflow/v1.0/s", FakeCredential(ClientAuthenticationError("expired")))

    assert "az login" in caught.value.advice


def test_error_never_shows_the_token(server: FailingServer) -> None:
    """An error shows no token, even when the server repeats it."""
    server.status, server.body = 400, json.dumps({"Error": {"Message": f"Bearer {SECRET} is not for us"}})

    with pytest.raises(AzureRefused, match=r"Bearer \.\.\. is not for us") as caught:
        ask(tracking(server))

    assert SECRET not in str(caught.value) + repr(caught.value.__cause__)


def test_unknown_path_is_azure_not_found() -> None:
    """An unknown path raises `AzureNotFound`."""
    missing = httpx.MockTransport(lambda _: httpx.Response(404, json={"message": "no"}))

    with pytest.raises(AzureNotFound, match="experiments/search: HTTP 404: no"):
        ask("azureml://host/mlflow/v1.0/s", http=lambda: httpx.Client(transport=missing))


def test_tracking_address_is_cached() -> None:
    """The tracking address is requested from the workspace once."""
    fake = FakeWorkspaces("azureml://host/mlflow/v1.0/s")
    history = AzureMonitorHistory(
        MlflowTracking(lambda: cast(MLClient, fake), FakeCredential(), scripted({"runs": []}))
    )
    for _ in range(2):
        assert history.read(MonitorHistory(kind="monitor_history"), policy(monitors=("m",)), History(), NOW) == []

    assert fake.asked == 1
