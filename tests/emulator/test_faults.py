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
def test_reset_after_effect_creates_run(local_azure: RunningAzure, when: Any, runs: int) -> None:
    """A reset fails the call, and the run exists only if the reset came after the effect."""
    client = factory_client(local_azure)
    publish_pipeline(client)
    local_azure.control.set_faults({**CREATE_RUN, "when": when})

    with pytest.raises((ServiceRequestError, ServiceResponseError)):
        create_run(client)

    assert created(local_azure) == runs


def test_reset_is_a_connection_reset(local_azure: RunningAzure) -> None:
    """A reset reaches the client as a connection reset by the peer."""
    local_azure.control.set_faults({"kind": "reset"})
    with pytest.raises(httpx.ReadError) as raised:
        get(local_azure)
    assert "reset by peer" in str(raised.value).lower()


@pytest.mark.parametrize(("when", "runs"), [("before", 0), ("after", 1)])
def test_status_fault_replaces_the_answer(local_azure: RunningAzure, when: Any, runs: int) -> None:
    """A status fault replaces the answer, has `Retry-After` and acts before or after the effect."""
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


def test_sdk_retry_starts_second_run(local_azure: RunningAzure) -> None:
    """An SDK that retries after a lost answer starts a second run."""
    client = factory_client(local_azure, retry_total=3, retry_backoff_factor=0)
    publish_pipeline(client)
    local_azure.control.set_faults({"kind": "status", "status": 503, "path": "createRun", "when": "after", "times": 1})
    create_run(client)
    assert created(local_azure) == 2


def test_slow_answer_is_complete(local_azure: RunningAzure) -> None:
    """A slow answer arrives late and complete."""
    local_azure.control.set_faults({"kind": "slow", "seconds": 0.2, "when": "after"})
    began = time.monotonic()
    assert get(local_azure).json() == {"value": []}
    assert time.monotonic() - began >= 0.2


def test_abandoned_slow_request_takes_effect(local_azure: RunningAzure) -> None:
    """A slow request takes effect although its client gave up."""
    publish_pipeline(factory_client(local_azure))
    local_azure.control.set_faults({"kind": "slow", "seconds": 1.5, "path": "createRun"})

    with pytest.raises(ServiceResponseError):
        create_run(factory_client(local_azure, read_timeout=0.1))

    assert created(local_azure) == 0
    wait_until(lambda: created(local_azure) == 1)


@pytest.mark.parametrize(("when", "runs"), [("before", 0), ("after", 1)])
def test_hanging_request_gets_no_answer(local_azure: RunningAzure, when: Any, runs: int) -> None:
    """A hanging request gets no answer, and takes effect only if the fault comes after it."""
    publish_pipeline(factory_client(local_azure))
    local_azure.control.set_faults({"kind": "hang", "path": "createRun", "when": when})

    with pytest.raises(ServiceResponseError):
        create_run(factory_client(local_azure, read_timeout=0.3))

    wait_until(lambda: created(local_azure) == runs)


def test_hanging_connection_is_finally_reset(local_azure: RunningAzure) -> None:
    """A hanging connection is reset after its seconds."""
    local_azure.control.set_faults({"kind": "hang", "seconds": 0.1})
    with pytest.raises(httpx.ReadError):
        get(local_azure, timeout=10)


def test_shutdown_ignores_hanging_requests(tmp_path: Path) -> None:
    """Local Azure stops although a request hangs."""
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


def test_rule_matches_method_and_path(local_azure: RunningAzure) -> None:
    """A rule affects only its methods and paths, and never the control routes."""
    local_azure.control.set_faults({"kind": "status", "status": 500, "methods": ["GET"], "path": "/jobs$"})
    assert get(local_azure).status_code == 500
    assert get(local_azure, f"{WORKSPACE_ID}/models").status_code == 200
    local_azure.control.set_faults({"kind": "status", "status": 500})
    assert local_azure.control.health()["status"] == "ok"


def test_rule_stops_after_its_times(local_azure: RunningAzure) -> None:
    """A rule affects at most its number of requests, and then the next rule applies."""
    local_azure.control.set_faults(
        {"kind": "status", "status": 500, "times": 2}, {"kind": "status", "status": 409, "times": 1}
    )
    assert [get(local_azure).status_code for _ in range(4)] == [500, 500, 409, 200]


def test_faults_are_journaled(local_azure: RunningAzure) -> None:
    """Each injected fault is recorded in the journal."""
    local_azure.control.set_faults({"kind": "status", "status": 500, "when": "after", "times": 1})
    get(local_azure)
    [entry] = local_azure.control.journal("fault.injected")
    assert {key: entry.get(key) for key in ("method", "path", "kind", "when")} == {
        "method": "GET",
        "path": f"{WORKSPACE_ID}/jobs",
        "kind": "status",
        "when": "after",
    }


def test_cleared_faults_stop(local_azure: RunningAzure) -> None:
    """Cleared faults affect no more requests."""
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
def test_invalid_rule_is_refused(local_azure: RunningAzure, rule: Any) -> None:
    """A rule that makes no sense is refused with 400."""
    with pytest.raises(httpx.HTTPStatusError) as refused:
        local_azure.control.set_faults(rule)
    assert refused.value.response.status_code == 400


def struck(faults: Faults, requests: int) -> list[bool]:
    return [faults.strike("GET", "/x") is not None for _ in range(requests)]


def plan(*, seed: int, **rule: Any) -> FaultPlan:
    return FaultPlan.model_validate({"seed": seed, "rules": [{"kind": "reset", **rule}]})


def test_faults_follow_the_seed(tmp_path: Path) -> None:
    """The same seed affects the same requests, and another seed affects others."""
    faults = Faults(Cloud.open(tmp_path, "http://127.0.0.1:1"))
    patterns: list[list[bool]] = []
    for seed in (1, 1, 2):
        faults.replace(plan(seed=seed, probability=0.3))
        patterns.append(struck(faults, 200))
    assert patterns[0] == patterns[1] != patterns[2]
    assert 30 < sum(patterns[0]) < 90


def test_restart_keeps_the_fault_plan(tmp_path: Path) -> None:
    """A restart keeps the rules, their counts and their random sequence."""
    cloud = Cloud.open(tmp_path, "http://127.0.0.1:1")
    undisturbed = Faults(Cloud.open(tmp_path / "other", "http://127.0.0.1:1"))
    undisturbed.replace(plan(seed=5, probability=0.5, times=3))
    pattern = struck(undisturbed, 40)

    faults = Faults(cloud)
    faults.replace(plan(seed=5, probability=0.5, times=3))
    until_first = pattern.index(True) + 1
    assert struck(faults, until_first) == pattern[:until_first]

    assert struck(Faults(cloud), 40 - until_first) == pattern[until_first:]
