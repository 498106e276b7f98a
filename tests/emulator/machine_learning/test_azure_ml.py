"""Models, endpoints, deployments and workspaces of local Azure through the real, unmodified Azure ML client."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.ai.ml.entities import ManagedOnlineDeployment, ManagedOnlineEndpoint, Model
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from anew.emulator.arm.credentials import connection
from anew.emulator.base.state import Document
from anew.emulator.machine_learning.events import MODEL_DEPLOYED, MODEL_REGISTERED
from tests.emulator.support import (
    WORKSPACE_ID,
    RunningAzure,
    deploy,
    make_ml_client,
    register,
    run_local_azure,
    save_threshold_model,
    set_traffic,
)


@pytest.fixture
def events(local_azure: RunningAzure) -> list[Document]:
    """Every event the local Azure publishes."""
    seen: list[Document] = []
    local_azure.cloud.on_event(seen.append)
    return seen


@pytest.fixture
def endpoint(local_azure: RunningAzure, ml_client: Any) -> str:
    """An endpoint with a registered model fraud:1 and no deployment."""
    save_threshold_model(local_azure, "job-1", 0.5)
    register(ml_client, "fraud", "1", "job-1")
    ml_client.online_endpoints.begin_create_or_update(ManagedOnlineEndpoint(name="fraud-api", auth_mode="key")).result()
    return "fraud-api"


def test_any_workspace_exists(local_azure: RunningAzure, ml_client: Any) -> None:
    """Any workspace exists and leads to the discovery of the API."""
    workspace = ml_client.workspaces.get("ws-anew")

    assert workspace.name == "ws-anew"
    assert httpx.get(str(workspace.discovery_url)).json()["api"] == local_azure.base_url


def test_missing_token_is_challenged(local_azure: RunningAzure) -> None:
    """A request without a token is refused with 401 and a challenge."""
    answer = httpx.get(local_azure.base_url + WORKSPACE_ID)

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.json()["error"]["code"] == "AuthenticationFailed"


def test_unknown_route_is_arm_error(local_azure: RunningAzure) -> None:
    """An unknown route is answered with an error in the format of Resource Manager."""
    answer = httpx.get(local_azure.base_url + WORKSPACE_ID + "/nothing", headers={"Authorization": "Bearer t"})

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NotFound")


def test_credential_is_for_loopback_only() -> None:
    """The credential of local Azure is refused for a host other than this machine."""
    with pytest.raises(ValueError, match="must be on this machine"):
        connection("http://example.com:80")


def test_new_version_is_announced_once(ml_client: Any, events: list[Document]) -> None:
    """A new model version is stored and announced once, and later writes update its tags."""
    created = register(ml_client, "fraud", "1", "job-1", tags={"anew_status": "candidate"})
    again = register(ml_client, "fraud", "1", "job-1", tags={"anew_status": "champion"})

    assert (created.name, created.version) == ("fraud", "1")
    assert again.tags == {"anew_status": "champion"}
    fetched = ml_client.models.get("fraud", "1")
    assert (fetched.path, fetched.type) == ("azureml://jobs/job-1/outputs/model", "mlflow_model")
    registered = [event for event in events if event["eventType"] == MODEL_REGISTERED]
    assert [event["subject"] for event in registered] == ["models/fraud:1"]


def test_model_version_path_is_immutable(ml_client: Any) -> None:
    """The path of a model version cannot be changed."""
    register(ml_client, "fraud", "1", "job-1")

    with pytest.raises(HttpResponseError, match="immutable"):
        register(ml_client, "fraud", "1", "job-2")

    assert ml_client.models.get("fraud", "1").path == "azureml://jobs/job-1/outputs/model"


def test_missing_version_gets_the_next(ml_client: Any) -> None:
    """A model without a version gets the next one."""
    register(ml_client, "fraud", "7", "job-1")

    model = Model(name="fraud", path="azureml://jobs/job-2/outputs/model", type="mlflow_model")
    created = ml_client.models.create_or_update(model)

    assert created.version == "8"
    assert ml_client.models.get("fraud", label="latest").version == "8"


def test_model_lists_are_paged(local_azure: RunningAzure, ml_client: Any) -> None:
    """The list of model versions is paged and starts with the newest."""
    body = {"properties": {"modelUri": "azureml://jobs/job-1/outputs/model", "modelType": "mlflow_model"}}
    with httpx.Client(base_url=local_azure.base_url + WORKSPACE_ID, headers={"Authorization": "Bearer t"}) as http:
        for version in range(1, 33):
            http.put(f"/models/fraud/versions/{version}", json=body).raise_for_status()
    register(ml_client, "churn", "1", "job-1")

    versions = [model.version for model in ml_client.models.list("fraud")]
    assert versions == [str(version) for version in range(32, 0, -1)]
    assert {model.name: model.latest_version for model in ml_client.models.list()} == {"fraud": "32", "churn": "1"}


def test_archived_version_is_unlisted(ml_client: Any) -> None:
    """An archived version leaves the list and can still be fetched by name."""
    for version in ("1", "2"):
        register(ml_client, "fraud", version, "job-1")

    ml_client.models.archive("fraud", "1")

    assert [model.version for model in ml_client.models.list("fraud")] == ["2"]
    assert ml_client.models.get("fraud", "1").version == "1"


def test_unknown_resources_are_not_found(ml_client: Any) -> None:
    """Unknown models, endpoints and deployments are not found."""
    with pytest.raises(ResourceNotFoundError):
        ml_client.models.get("nothing", "1")
    with pytest.raises(ResourceNotFoundError):
        list(ml_client.models.list("nothing"))
    with pytest.raises(ResourceNotFoundError):
        ml_client.online_endpoints.get("nothing")
    with pytest.raises(ResourceNotFoundError):
        ml_client.online_deployments.get("blue", "nothing")


@pytest.mark.parametrize("async_operations", [False, True])
def test_finished_deployment_takes_traffic(
    local_azure: RunningAzure, ml_client: Any, endpoint: str, events: list[Document], *, async_operations: bool
) -> None:
    """A deployment that succeeded is announced once and takes traffic."""
    local_azure.control.set_modes(async_operations=async_operations)

    deployment = deploy(ml_client, endpoint, "blue", "fraud", "1")
    shown = set_traffic(ml_client, endpoint, {"blue": 100})

    assert (deployment.name, deployment.provisioning_state) == ("blue", "Succeeded")
    assert deployment.model.endswith("/models/fraud/versions/1")
    assert (shown.traffic, shown.provisioning_state) == ({"blue": 100}, "Succeeded")
    deployed = [event for event in events if event["eventType"] == MODEL_DEPLOYED]
    assert [event["data"]["modelIds"] for event in deployed] == ["fraud:1"]
    assert [entry["action"] for entry in local_azure.control.journal()][-2:] == ["event.published", "endpoint.traffic"]
    assert "fraud:1 is ready" in ml_client.online_deployments.get_logs("blue", endpoint, lines=5)


@pytest.mark.parametrize(
    ("traffic", "reason"),
    [
        ({"blue": 90}, "must sum to 0 or 100"),
        ({"blue": 110}, "between 0 and 100"),
        ({"blue": 50, "green": 50}, "do not exist: green"),
    ],
)
def test_impossible_traffic_is_refused(ml_client: Any, endpoint: str, traffic: dict[str, int], reason: str) -> None:
    """Traffic that does not add up or names no deployment is refused and changes nothing."""
    deploy(ml_client, endpoint, "blue", "fraud", "1")
    set_traffic(ml_client, endpoint, {"blue": 100})

    with pytest.raises(HttpResponseError, match=reason) as refused:
        set_traffic(ml_client, endpoint, traffic)

    assert refused.value.status_code == 400
    assert ml_client.online_endpoints.get(endpoint).traffic == {"blue": 100}


def test_mirrored_traffic_is_limited(ml_client: Any, endpoint: str) -> None:
    """Mirrored traffic is limited to 50 percent on a deployment without live traffic."""
    for name in ("blue", "green"):
        deploy(ml_client, endpoint, name, "fraud", "1")
    set_traffic(ml_client, endpoint, {"blue": 100})

    assert set_traffic(ml_client, endpoint, {"blue": 100}, mirror={"green": 20}).mirror_traffic == {"green": 20}
    with pytest.raises(HttpResponseError, match="live and mirrored"):
        set_traffic(ml_client, endpoint, {"blue": 100}, mirror={"blue": 20})
    with pytest.raises(HttpResponseError, match="At most 50 percent"):
        set_traffic(ml_client, endpoint, {"blue": 100}, mirror={"green": 60})


def test_live_deployment_cannot_be_deleted(ml_client: Any, endpoint: str) -> None:
    """A deployment with live traffic cannot be deleted until the traffic is moved."""
    for name in ("blue", "green"):
        deploy(ml_client, endpoint, name, "fraud", "1")
    set_traffic(ml_client, endpoint, {"blue": 100})

    with pytest.raises(HttpResponseError, match="live traffic"):
        ml_client.online_deployments.begin_delete("blue", endpoint).result()
    set_traffic(ml_client, endpoint, {"green": 100})
    ml_client.online_deployments.begin_delete("blue", endpoint).result()

    assert [deployment.name for deployment in ml_client.online_deployments.list(endpoint)] == ["green"]


@pytest.mark.parametrize("async_operations", [False, True])
def test_endpoint_deletion_includes_deployments(
    local_azure: RunningAzure, ml_client: Any, endpoint: str, *, async_operations: bool
) -> None:
    """A deleted endpoint is gone together with its deployments."""
    deploy(ml_client, endpoint, "blue", "fraud", "1")
    local_azure.control.set_modes(async_operations=async_operations)

    ml_client.online_endpoints.begin_delete(endpoint).result()

    assert list(ml_client.online_endpoints.list()) == []
    with pytest.raises(ResourceNotFoundError):
        ml_client.online_deployments.get("blue", endpoint)


@pytest.mark.parametrize("async_operations", [False, True])
def test_unloadable_model_fails_its_deployment(
    local_azure: RunningAzure, ml_client: Any, endpoint: str, events: list[Document], *, async_operations: bool
) -> None:
    """A deployment whose model cannot be loaded fails and is not announced."""
    local_azure.control.set_modes(async_operations=async_operations)
    register(ml_client, "fraud", "2", "job-without-output")

    with pytest.raises(HttpResponseError):
        deploy(ml_client, endpoint, "green", "fraud", "2")

    assert ml_client.online_deployments.get("green", endpoint).provisioning_state == "Failed"
    assert not any(event["eventType"] == MODEL_DEPLOYED for event in events)


def test_unregistered_model_is_refused(ml_client: Any, endpoint: str) -> None:
    """A deployment of an unregistered model is refused."""
    with pytest.raises(HttpResponseError, match="fraud:9 was not found"):
        deploy(ml_client, endpoint, "green", "fraud", "9")


def test_busy_endpoint_refuses_writes(local_azure: RunningAzure, ml_client: Any, endpoint: str) -> None:
    """An endpoint refuses every write with 409 while an operation on it is in progress."""
    deploy(ml_client, endpoint, "blue", "fraud", "1")
    local_azure.control.set_modes(deployment_seconds=60)
    wanted = ManagedOnlineDeployment(
        name="green", endpoint_name=endpoint, model="azureml:fraud:1", instance_type="Standard_DS2_v2", instance_count=1
    )
    ml_client.online_deployments.begin_create_or_update(wanted)

    writes = (
        lambda: set_traffic(ml_client, endpoint, {"blue": 100}),
        lambda: ml_client.online_deployments.begin_create_or_update(wanted),
        lambda: ml_client.online_deployments.begin_delete("blue", endpoint),
        lambda: ml_client.online_endpoints.begin_delete(endpoint),
    )
    for write in writes:
        with pytest.raises(HttpResponseError, match="in progress") as refused:
            write()
        assert refused.value.status_code == 409
    ml_client.online_endpoints.begin_create_or_update(ManagedOnlineEndpoint(name="other-api")).result()

    assert set(ml_client.online_endpoints.get(endpoint).traffic.values()) == {0}
    assert ml_client.online_deployments.get("green", endpoint).provisioning_state == "Updating"


def test_deletion_removes_mirrored_traffic(ml_client: Any, endpoint: str) -> None:
    """A deleted deployment is removed from the mirrored traffic."""
    for name in ("blue", "green"):
        deploy(ml_client, endpoint, name, "fraud", "1")
    set_traffic(ml_client, endpoint, {"blue": 100}, mirror={"green": 20})

    ml_client.online_deployments.begin_delete("green", endpoint).result()

    shown = ml_client.online_endpoints.get(endpoint)
    assert (shown.traffic, shown.mirror_traffic) == ({"blue": 100}, {})


def test_state_survives_a_restart(tmp_path: Path) -> None:
    """Models, endpoints, deployments and traffic survive a restart."""
    with run_local_azure(tmp_path / "azure") as azure:
        client = make_ml_client(azure)
        save_threshold_model(azure, "job-1", 0.5)
        register(client, "fraud", "1", "job-1")
        client.online_endpoints.begin_create_or_update(ManagedOnlineEndpoint(name="fraud-api")).result()
        deploy(client, "fraud-api", "blue", "fraud", "1")
        set_traffic(client, "fraud-api", {"blue": 100})

    with run_local_azure(tmp_path / "azure") as azure:
        client = make_ml_client(azure)
        assert client.online_endpoints.get("fraud-api").traffic == {"blue": 100}
        deployment = client.online_deployments.get("blue", "fraud-api")
        assert isinstance(deployment, ManagedOnlineDeployment)
        assert str(deployment.model).endswith("/models/fraud/versions/1")
