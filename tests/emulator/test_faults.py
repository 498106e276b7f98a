"""Faults on order, met by httpx and by the real SDKs: what the client sees, and whether the service did its work."""

import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.core.exceptions import HttpResponseError, ServiceRequestError, ServiceResponseError
from azure.mgmt.datafactory import DataFactoryManagementClient

from anew.emulator.base.cloud import Cloud
from anew.emulator.client import FaultRule
from anew.emulator.faults import FaultPlan, Faults
from tests.emulator.support import RESOURCE_GROUP, SUBSCRIPTION, WORKSPACE_ID, RunningAzure, run_local_azure, wait_until

FACTORY = "adf-anew"
CREATE_RUN: FaultRule = {"kind": "reset", "methods": ["POST"], "path": "/createRun$"}


def factory_client(azure: RunningAzure, **options: Any) -> Any:
    at = azure.connection
    options = {"retry_total": 0, **options}
    return DataFactoryManagementClient(
        at.credential, SUBSCRIPTION, base_url=at.base_url, per_call_policies=at.policies(), **options
    )


def publish_pipeline(client: Any) -> None:
    activity = {"name": "W", "type": "Wait", "typeProperties": {"waitTimeInSeconds": 0}}
    client.pipelines.create_or_update(RESOURCE_GROUP, FACTORY, "p", {"properties": {"activities": [activity]}})


def create_run(client: Any) -> str:
    return client.pipelines.create_run(RESOURCE_GROUP, FACTORY, "p").run_id


def created(azure: RunningAzure) -> int:
    return len(azure.control.journal("pipeline_run.created"))


def get(azure: RunningAzure, path: str = f"{WORKSPACE_ID}/jobs", **options: Any) -> httpx.Response:
    headers = {"Authorization": "Bearer t"}
    return httpx.get(azure.base_url + path, headers=headers, trust_env=False, **options)


@pytest.mark.parametrize(("when", "runs"), [("before", 0), ("after", 1)])
def test_reset_call_fails_in_the_sdk_and_made_a_run_only_if_it_came_after_the_effect(
    local_azure: RunningAzure, when: Any, runs: int
) -> None:
    client = factory_client(local_azure)
    publish_pipeline(client)
    local_azure.control.set_faults({**CREATE_RUN, "when": when})

    with pytest.raises((ServiceRequestError, ServiceResponseError)):
        create_run(client)

    assert created(local_azure) == runs


def test_reset_connection_is_seen_by_httpx_as_reset_by_the_peer(local_azure: RunningAzure) -> None:
    local_azure.control.set_faults({"kind": "reset"})
    with pytest.raises(httpx.ReadError) as raised:
        get(local_azure)
    assert "reset by peer" in str(raised.value).lower()


@pytest.mark.parametrize(("when", "runs"), [("before", 0), ("after", 1)])
def test_status_replaces_the_answer_and_carries_retry_after(local_azure: RunningAzure, when: Any, runs: int) -> None:
    client = factory_client(local_azure)
    publish_pipeline(client)
    local_azure.control.set_faults(
        {"kind": "status", "status": 429, "retry_after": 7, "path": "createRun", "when": when}
    )

    with pytest.raises(HttpResponseError) as refused:
        create_run(client)

    assert (refused.value.status_code, refused.value.error and refused.value.error.code) == (429, "TooManyRequests")
    assert refused.value.response is not None
    assert refused.value.response.headers["Retry-After"] == "7"
    assert created(local_azure) == runs


def test_sdk_that_retries_a_lost_answer_starts_a_second_run(local_azure: RunningAzure) -> None:
    client = factory_client(local_azure, retry_total=3, retry_backoff_factor=0)
    publish_pipeline(client)
    local_azure.control.set_faults({"kind": "status", "status": 503, "path": "createRun", "when": "after", "times": 1})
    create_run(client)
    assert created(local_azure) == 2


def test_slow_answer_comes_late_and_whole(local_azure: RunningAzure) -> None:
    local_azure.control.set_faults({"kind": "slow", "seconds": 0.2, "when": "after"})
    began = time.monotonic()
    assert get(local_azure).json() == {"value": []}
    assert time.monotonic() - began >= 0.2


def test_slow_request_takes_effect_although_its_client_gave_up(local_azure: RunningAzure) -> None:
    publish_pipeline(factory_client(local_azure))
    local_azure.control.set_faults({"kind": "slow", "seconds": 1.5, "path": "createRun"})

    with pytest.raises(ServiceResponseError):
        create_run(factory_client(local_azure, read_timeout=0.1))

    assert created(local_azure) == 0
    wait_until(lambda: created(local_azure) == 1)


@pytest.mark.parametrize(("when", "runs"), [("before", 0), ("after", 1)])
def test_hanging_request_is_never_answered(local_azure: RunningAzure, when: Any, runs: int) -> None:
    publish_pipeline(factory_client(local_azure))
    local_azure.control.set_faults({"kind": "hang", "path": "createRun", "when": when})

    with pytest.raises(ServiceResponseError):
        create_run(factory_client(local_azure, read_timeout=0.3))

    wait_until(lambda: created(local_azure) == runs)


def test_hanging_connection_is_reset_after_its_seconds(local_azure: RunningAzure) -> None:
    local_azure.control.set_faults({"kind": "hang", "seconds": 0.1})
    with pytest.raises(httpx.ReadError):
        get(local_azure, timeout=10)


def test_local_azure_stops_although_a_request_hangs(tmp_path: Path) -> None:
    with run_local_azure(tmp_path) as azure:
        azure.control.set_faults({"kind": "hang"})
        outcome: list[str] = []

        def ask() -> None:
            try:
                get(azure, timeout=60)
            except httpx.HTTPError as error:
                outcome.append(type(error).__name__)

        asking = threading.Thread(target=ask)
        asking.start()
        wait_until(lambda: bool(azure.control.journal("fault.injected")))
    asking.join(10)
    assert outcome == ["ReadError"]


def test_rule_strikes_only_its_methods_and_paths_and_never_the_control_routes(local_azure: RunningAzure) -> None:
    local_azure.control.set_faults({"kind": "status", "status": 500, "methods": ["GET"], "path": "/jobs$"})
    assert get(local_azure).status_code == 500
    assert get(local_azure, f"{WORKSPACE_ID}/models").status_code == 200
    local_azure.control.set_faults({"kind": "status", "status": 500})
    assert local_azure.control.health()["status"] == "ok"


def test_rule_strikes_at_most_its_times_and_then_the_next_one_does(local_azure: RunningAzure) -> None:
    local_azure.control.set_faults(
        {"kind": "status", "status": 500, "times": 2}, {"kind": "status", "status": 409, "times": 1}
    )
    assert [get(local_azure).status_code for _ in range(4)] == [500, 500, 409, 200]


def test_each_fault_is_noted_in_the_journal(local_azure: RunningAzure) -> None:
    local_azure.control.set_faults({"kind": "status", "status": 500, "when": "after", "times": 1})
    get(local_azure)
    [entry] = local_azure.control.journal("fault.injected")
    assert {key: entry.get(key) for key in ("method", "path", "kind", "when")} == {
        "method": "GET",
        "path": f"{WORKSPACE_ID}/jobs",
        "kind": "status",
        "when": "after",
    }


def test_cleared_faults_strike_no_more(local_azure: RunningAzure) -> None:
    local_azure.control.set_faults({"kind": "status", "status": 500})
    local_azure.control.clear_faults()
    assert get(local_azure).status_code == 200


@pytest.mark.parametrize(
    "rule",
    [
        {"kind": "explode"},
        {"kind": "status"},
        {"kind": "status", "status": 200},
        {"kind": "reset", "path": "("},
        {"kind": "reset", "probability": 2},
        {"kind": "reset", "oops": 1},
    ],
)
def test_rule_that_makes_no_sense_is_refused(local_azure: RunningAzure, rule: Any) -> None:
    with pytest.raises(httpx.HTTPStatusError) as refused:
        local_azure.control.set_faults(rule)
    assert refused.value.response.status_code == 400


def struck(faults: Faults, requests: int) -> list[bool]:
    return [faults.strike("GET", "/x") is not None for _ in range(requests)]


def plan(*, seed: int, **rule: Any) -> FaultPlan:
    return FaultPlan.model_validate({"seed": seed, "rules": [{"kind": "reset", **rule}]})


def test_same_seed_strikes_the_same_requests_and_another_seed_others(tmp_path: Path) -> None:
    faults = Faults(Cloud.open(tmp_path, "http://127.0.0.1:1"))
    patterns: list[list[bool]] = []
    for seed in (1, 1, 2):
        faults.replace(plan(seed=seed, probability=0.3))
        patterns.append(struck(faults, 200))
    assert patterns[0] == patterns[1] != patterns[2]
    assert 30 < sum(patterns[0]) < 90


def test_restart_keeps_the_rules_their_count_and_their_chance(tmp_path: Path) -> None:
    cloud = Cloud.open(tmp_path, "http://127.0.0.1:1")
    undisturbed = Faults(Cloud.open(tmp_path / "other", "http://127.0.0.1:1"))
    undisturbed.replace(plan(seed=5, probability=0.5, times=3))
    pattern = struck(undisturbed, 40)

    faults = Faults(cloud)
    faults.replace(plan(seed=5, probability=0.5, times=3))
    until_first = pattern.index(True) + 1
    assert struck(faults, until_first) == pattern[:until_first]

    assert struck(Faults(cloud), 40 - until_first) == pattern[until_first:]
