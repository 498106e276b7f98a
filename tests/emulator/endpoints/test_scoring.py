"""Scoring on the endpoints of local Azure, over HTTP as clients do it and in process as streams do it."""

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from azure.ai.ml.entities import ManagedOnlineEndpoint
from hypothesis import given
from hypothesis import strategies as st

from anew.emulator.arm.protocol import ArmError
from anew.emulator.base.state import Document
from anew.emulator.endpoints.online_endpoints import DEPLOYMENT_KIND, ENDPOINT_KIND
from anew.emulator.endpoints.scoring import DEPLOYMENT_HEADER, score
from anew.emulator.endpoints.traffic import choose
from anew.emulator.machine_learning.assets import local_path
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

ENDPOINT = "fraud-api"
ROWS = [[0.3, 0.0], [0.6, 0.0]]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAzure]:
    """An endpoint with blue (1 above 0.5) and green (1 above 0.2), all traffic on blue."""
    with run_local_azure(tmp_path_factory.mktemp("scoring")) as azure:
        client = make_ml_client(azure)
        client.online_endpoints.begin_create_or_update(ManagedOnlineEndpoint(name=ENDPOINT)).result()
        for version, (name, threshold) in enumerate({"blue": 0.5, "green": 0.2}.items(), start=1):
            save_threshold_model(azure, f"job-{name}", threshold)
            register(client, "fraud", str(version), f"job-{name}")
            deploy(client, ENDPOINT, name, "fraud", str(version))
        set_traffic(client, ENDPOINT, {"blue": 100})
        yield azure


@pytest.fixture
def local_azure(served: RunningAzure) -> Iterator[RunningAzure]:
    """The endpoint as it was first served, put back after each test."""
    kinds = (ENDPOINT_KIND, DEPLOYMENT_KIND)
    before = {kind: served.cloud.store.list(kind) for kind in kinds}
    yield served
    for kind, documents in before.items():
        for document in documents:
            served.cloud.store.put(kind, document["id"], document)


@pytest.fixture
def scoring(local_azure: RunningAzure) -> Any:
    """The Azure ML client of the served endpoint."""
    return make_ml_client(local_azure)


@given(st.integers(0, 100), st.integers(0, 10_000))
def test_split_is_exact_per_hundred(share: int, first: int) -> None:
    """Any hundred consecutive requests are split exactly as configured."""
    traffic = {"blue": share, "green": 100 - share}

    answered = Counter(choose(traffic, number) for number in range(first, first + 100))

    assert (answered["blue"], answered["green"]) == (share, 100 - share)


def test_no_traffic_chooses_no_deployment() -> None:
    """Without traffic no deployment is chosen."""
    assert choose({}, 3) is None


def test_answer_names_its_deployment(scoring: Any) -> None:
    """An endpoint scores a request with its key, and the answer names the deployment."""
    answer = _post(scoring, _key(scoring))

    assert answer.json() == [0, 1]
    assert answer.headers[DEPLOYMENT_HEADER] == "blue"


def test_header_forces_the_deployment(scoring: Any) -> None:
    """A request header forces the deployment."""
    answer = _post(scoring, _key(scoring), {DEPLOYMENT_HEADER: "green"})

    assert answer.json() == [1, 1]
    assert answer.headers[DEPLOYMENT_HEADER] == "green"


@pytest.mark.parametrize("key", ["", "wrong"])
def test_invalid_key_is_refused(scoring: Any, key: str) -> None:
    """A request without a valid key is refused with 401."""
    assert _post(scoring, key).status_code == 401


def test_canary_split_is_logged(local_azure: RunningAzure, scoring: Any) -> None:
    """A canary split is exact, and each request is logged with its deployment."""
    set_traffic(scoring, ENDPOINT, {"blue": 90, "green": 10})
    cloud = local_azure.cloud

    answered = Counter(score(cloud, WORKSPACE_ID, ENDPOINT, ["a", "b"], ROWS)[1] for _ in range(100))

    assert answered == {"blue": 90, "green": 10}
    logged = _logged(local_azure)[-100:]
    assert Counter(row["DeploymentName"] for row in logged) == answered
    assert {(row["EndpointName"], row["ResponseCode"], row["ModelStatusCode"]) for row in logged} == {
        (ENDPOINT, 200, 200)
    }


def test_mirrored_requests_are_invisible(local_azure: RunningAzure, scoring: Any) -> None:
    """Mirrored requests are scored and logged, and no answer of theirs reaches the caller."""
    set_traffic(scoring, ENDPOINT, {"blue": 100}, mirror={"green": 50})
    cloud, before = local_azure.cloud, len(_logged(local_azure))

    answers = {score(cloud, WORKSPACE_ID, ENDPOINT, ["a", "b"], ROWS)[1] for _ in range(100)}

    assert answers == {"blue"}
    assert Counter(row["DeploymentName"] for row in _logged(local_azure)[before:]) == {"blue": 100, "green": 50}


def test_mirrored_failure_is_invisible(local_azure: RunningAzure, scoring: Any) -> None:
    """A mirrored request that fails is logged and does not affect the caller."""
    save_threshold_model(local_azure, "job-lost", 0.5)
    register(scoring, "lost", "1", "job-lost")
    deploy(scoring, ENDPOINT, "green", "lost", "1")
    shutil.rmtree(local_path(local_azure.cloud, WORKSPACE_ID, "lost:1"))
    set_traffic(scoring, ENDPOINT, {"blue": 100}, mirror={"green": 50})

    answers = [score(local_azure.cloud, WORKSPACE_ID, ENDPOINT, ["a", "b"], ROWS) for _ in range(4)]

    assert answers == [([0, 1], "blue")] * 4
    failed = [row for row in _logged(local_azure) if row["ResponseCode"] == 424]
    assert {row["DeploymentName"] for row in failed} == {"green"}


def test_predictions_are_logged(local_azure: RunningAzure, scoring: Any) -> None:
    """A model prints its predictions to the console log of its deployment."""
    score(local_azure.cloud, WORKSPACE_ID, ENDPOINT, ["a", "b"], ROWS)

    row = local_azure.cloud.store.list("log:AmlOnlineEndpointConsoleLog")[-1]
    assert row["DeploymentName"] == "blue"
    assert row["_ResourceId"].endswith(f"/onlineendpoints/{ENDPOINT}")
    assert json.loads(row["Message"]) == {"anew_score": [0, 1]}


def test_column_order_is_irrelevant(local_azure: RunningAzure, scoring: Any) -> None:
    """The columns of a request may come in any order."""
    swapped = [[row[1], row[0]] for row in ROWS]

    assert score(local_azure.cloud, WORKSPACE_ID, ENDPOINT, ["b", "a"], swapped)[0] == [0, 1]


@pytest.mark.parametrize(
    ("endpoint", "columns", "deployment", "status"),
    [
        ("nothing", ["a", "b"], None, 404),
        (ENDPOINT, ["a", "b"], "nothing", 404),
        (ENDPOINT, ["a", "c"], None, 424),
    ],
)
def test_unanswerable_request_is_refused(
    local_azure: RunningAzure,
    scoring: Any,
    endpoint: str,
    columns: list[str],
    deployment: str | None,
    status: int,
) -> None:
    """A request for an unknown endpoint or deployment, or with wrong columns, is refused."""
    with pytest.raises(ArmError) as refused:
        score(local_azure.cloud, WORKSPACE_ID, endpoint, columns, ROWS, deployment)

    assert refused.value.status == status


def test_new_model_answers_immediately(local_azure: RunningAzure, scoring: Any) -> None:
    """A new model behind a deployment answers the next request."""
    deploy(scoring, ENDPOINT, "blue", "fraud", "2")

    assert score(local_azure.cloud, WORKSPACE_ID, ENDPOINT, ["a", "b"], ROWS) == ([1, 1], "blue")


def test_malformed_body_is_bad_request(scoring: Any) -> None:
    """A malformed body is answered with 400."""
    uri = str(scoring.online_endpoints.get(ENDPOINT).scoring_uri)
    headers = {"Authorization": f"Bearer {_key(scoring)}"}

    assert httpx.post(uri, json={"data": ROWS}, headers=headers).status_code == 400


def _logged(azure: RunningAzure) -> list[Document]:
    return azure.cloud.store.list("log:AmlOnlineEndpointTrafficLog")


def _key(client: Any) -> str:
    return str(client.online_endpoints.get_keys(ENDPOINT).primary_key)


def _post(client: Any, key: str, headers: dict[str, str] | None = None) -> httpx.Response:
    uri = str(client.online_endpoints.get(ENDPOINT).scoring_uri)
    body = {"input_data": {"columns": ["a", "b"], "data": ROWS}}
    return httpx.post(uri, json=body, headers={"Authorization": f"Bearer {key}".strip(), **(headers or {})})
