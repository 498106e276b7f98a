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
def test_any_hundred_requests_in_a_row_are_shared_exactly_as_the_split_says(share: int, first: int) -> None:
    traffic = {"blue": share, "green": 100 - share}

    answered = Counter(choose(traffic, number) for number in range(first, first + 100))

    assert (answered["blue"], answered["green"]) == (share, 100 - share)


def test_no_deployment_is_chosen_without_traffic() -> None:
    assert choose({}, 3) is None


def test_endpoint_scores_with_its_key_and_names_the_deployment(scoring: Any) -> None:
    answer = _post(scoring, _key(scoring))

    assert answer.json() == [0, 1]
    assert answer.headers[DEPLOYMENT_HEADER] == "blue"


def test_request_header_forces_the_deployment(scoring: Any) -> None:
    answer = _post(scoring, _key(scoring), {DEPLOYMENT_HEADER: "green"})

    assert answer.json() == [1, 1]
    assert answer.headers[DEPLOYMENT_HEADER] == "green"


@pytest.mark.parametrize("key", ["", "wrong"])
def test_request_without_a_valid_key_is_refused(scoring: Any, key: str) -> None:
    assert _post(scoring, key).status_code == 401


def test_canary_split_is_met_and_logged_per_request(local_azure: RunningAzure, scoring: Any) -> None:
    set_traffic(scoring, ENDPOINT, {"blue": 90, "green": 10})
    cloud = local_azure.cloud

    answered = Counter(score(cloud, WORKSPACE_ID, ENDPOINT, ["a", "b"], ROWS)[1] for _ in range(100))

    assert answered == {"blue": 90, "green": 10}
    logged = _logged(local_azure)[-100:]
    assert Counter(row["DeploymentName"] for row in logged) == answered
    assert {(row["EndpointName"], row["ResponseCode"], row["ModelStatusCode"]) for row in logged} == {
        (ENDPOINT, 200, 200)
    }


def test_mirrored_requests_are_scored_unseen(local_azure: RunningAzure, scoring: Any) -> None:
    set_traffic(scoring, ENDPOINT, {"blue": 100}, mirror={"green": 50})
    cloud, before = local_azure.cloud, len(_logged(local_azure))

    answers = {score(cloud, WORKSPACE_ID, ENDPOINT, ["a", "b"], ROWS)[1] for _ in range(100)}

    assert answers == {"blue"}
    assert Counter(row["DeploymentName"] for row in _logged(local_azure)[before:]) == {"blue": 100, "green": 50}


def test_caller_never_learns_that_a_mirrored_request_failed(local_azure: RunningAzure, scoring: Any) -> None:
    save_threshold_model(local_azure, "job-lost", 0.5)
    register(scoring, "lost", "1", "job-lost")
    deploy(scoring, ENDPOINT, "green", "lost", "1")
    shutil.rmtree(local_path(local_azure.cloud, WORKSPACE_ID, "lost:1"))
    set_traffic(scoring, ENDPOINT, {"blue": 100}, mirror={"green": 50})

    answers = [score(local_azure.cloud, WORKSPACE_ID, ENDPOINT, ["a", "b"], ROWS) for _ in range(4)]

    assert answers == [([0, 1], "blue")] * 4
    failed = [row for row in _logged(local_azure) if row["ResponseCode"] == 424]
    assert {row["DeploymentName"] for row in failed} == {"green"}


def test_model_prints_what_it_predicted(local_azure: RunningAzure, scoring: Any) -> None:
    score(local_azure.cloud, WORKSPACE_ID, ENDPOINT, ["a", "b"], ROWS)

    row = local_azure.cloud.store.list("log:AmlOnlineEndpointConsoleLog")[-1]
    assert row["DeploymentName"] == "blue"
    assert row["_ResourceId"].endswith(f"/onlineendpoints/{ENDPOINT}")
    assert json.loads(row["Message"]) == {"anew_score": [0, 1]}


def test_columns_may_come_in_any_order(local_azure: RunningAzure, scoring: Any) -> None:
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
    with pytest.raises(ArmError) as refused:
        score(local_azure.cloud, WORKSPACE_ID, endpoint, columns, ROWS, deployment)

    assert refused.value.status == status


def test_new_model_behind_a_deployment_answers_at_once(local_azure: RunningAzure, scoring: Any) -> None:
    deploy(scoring, ENDPOINT, "blue", "fraud", "2")

    assert score(local_azure.cloud, WORKSPACE_ID, ENDPOINT, ["a", "b"], ROWS) == ([1, 1], "blue")


def test_malformed_body_is_a_bad_request(scoring: Any) -> None:
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
