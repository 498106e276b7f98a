"""Resource Manager's limits: which request counts against what, when one is refused, and how many there were."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anew.emulator.arm.credentials import EmulatorCredential
from anew.emulator.throttle import ANYONE, Bucket, Limit, principal_of, request_class
from tests.emulator.support import SUBSCRIPTION, WORKSPACE_ID, RunningAzure

FACTORY = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.DataFactory/factories/f"
JOBS = f"{WORKSPACE_ID}/jobs"


def bearer(principal: str = "local-azure") -> dict[str, str]:
    return {"Authorization": f"Bearer {EmulatorCredential(principal).get_token('s').token}"}


def call(azure: RunningAzure, method: str = "GET", path: str = JOBS, principal: str = "local-azure") -> httpx.Response:
    return httpx.request(method, azure.base_url + path, headers=bearer(principal), trust_env=False)


def limit_reads(azure: RunningAzure, burst: int, per_second: float = 0.01) -> None:
    azure.control.set_modes(arm_throttling=True, arm_reads_burst=burst, arm_reads_per_second=per_second)


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", JOBS, "reads"),
        ("PUT", JOBS + "/j", "writes"),
        ("PATCH", JOBS + "/j", "writes"),
        ("POST", FACTORY + "/pipelines/p/createRun", "writes"),
        ("DELETE", FACTORY + "/pipelines/p", "deletes"),
        ("POST", FACTORY + "/queryPipelineRuns", "queries"),
        ("POST", FACTORY + "/pipelineruns/r/queryActivityruns", "queries"),
    ],
)
def test_request_class_is_known(method: str, path: str, expected: str) -> None:
    """Each request counts against the limit of its class."""
    assert request_class(method, path) == expected


@given(
    gaps=st.lists(st.floats(min_value=0, max_value=5), max_size=60),
    burst=st.integers(1, 20),
    per_second=st.floats(min_value=0.1, max_value=10),
)
def test_bucket_respects_its_rate(gaps: list[float], burst: int, per_second: float) -> None:
    """A bucket never passes more than its burst and its refill."""
    limit, now, bucket, passed = Limit(burst, per_second), 0.0, Bucket(burst, 0.0), 0
    for gap in gaps:
        now += gap
        bucket, wait = bucket.take(limit, now)
        passed += wait == 0.0
        assert passed <= burst + now * per_second + 1e-6


@given(st.floats(min_value=0, max_value=0.99), st.floats(min_value=0.1, max_value=100))
def test_advised_wait_is_sufficient(tokens: float, per_second: float) -> None:
    """A request that waits as advised is passed."""
    limit = Limit(10, per_second)
    bucket, wait = Bucket(tokens, 0.0).take(limit, 0.0)
    assert wait > 0
    assert bucket.take(limit, wait + 1e-6)[1] == 0.0


def test_throttling_is_off_by_default(local_azure: RunningAzure) -> None:
    """Without throttling no request is refused."""
    local_azure.control.set_modes(arm_reads_burst=1, arm_reads_per_second=0.01)
    assert [call(local_azure).status_code for _ in range(3)] == [200] * 3


def test_excess_request_gets_429(local_azure: RunningAzure) -> None:
    """A request beyond the burst gets 429 with `Retry-After`."""
    limit_reads(local_azure, burst=2, per_second=0.1)
    answers = [call(local_azure) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].json()["error"]["code"] == "TooManyRequests"
    assert 1 <= int(answers[2].headers["Retry-After"]) <= 10


def test_answer_states_remaining_requests(local_azure: RunningAzure) -> None:
    """Each answer states how many requests of its class remain."""
    name = "x-ms-ratelimit-remaining-subscription-"
    limit_reads(local_azure, burst=5)
    assert [call(local_azure).headers[name + "reads"] for _ in range(2)] == ["4", "3"]
    assert call(local_azure, "DELETE", FACTORY + "/pipelines/p").headers[name + "deletes"] == "199"
    assert call(local_azure, "POST", FACTORY + "/pipelines/p/createRun").headers[name + "writes"] == "199"
    assert call(local_azure, "POST", FACTORY + "/queryPipelineRuns").headers[name + "resource-requests"] == "999"


def test_buckets_are_per_principal(local_azure: RunningAzure) -> None:
    """Each principal and each subscription has its own bucket."""
    limit_reads(local_azure, burst=1)
    assert [call(local_azure).status_code for _ in range(2)] == [200, 429]
    assert call(local_azure, principal="somebody-else").status_code == 200
    assert call(local_azure, path=JOBS.replace(SUBSCRIPTION, "another")).status_code == 200


def test_classes_are_throttled_separately(local_azure: RunningAzure) -> None:
    """Writes pass while reads are throttled."""
    limit_reads(local_azure, burst=1)
    assert [call(local_azure).status_code for _ in range(2)] == [200, 429]
    assert call(local_azure, "DELETE", FACTORY + "/pipelines/p").status_code == 204


@pytest.mark.parametrize(
    ("authorization", "expected"),
    [("", ANYONE), ("Bearer", ANYONE), ("Bearer junk", ANYONE), (bearer("me")["Authorization"], "me")],
)
def test_principal_comes_from_the_token(authorization: str, expected: str) -> None:
    """The principal is read from the token, with a default for other headers."""
    assert principal_of(authorization) == expected


def test_requests_are_always_counted(local_azure: RunningAzure) -> None:
    """Requests are counted by class and principal even without throttling."""
    for _ in range(3):
        call(local_azure)
    call(local_azure, "POST", FACTORY + "/queryPipelineRuns")
    call(local_azure, principal="somebody-else")
    httpx.get(local_azure.base_url + "/v1/not-arm", trust_env=False)

    assert totals(local_azure, "local-azure") == {"reads": 3, "writes": 0, "deletes": 0, "queries": 1, "throttled": 0}
    assert totals(local_azure, "somebody-else")["reads"] == 1


def test_counts_start_at_a_time(local_azure: RunningAzure) -> None:
    """Requests are counted from a given time."""
    call(local_azure)
    later = datetime.now(UTC) + timedelta(seconds=1)
    assert totals(local_azure, "local-azure")["reads"] == 1
    assert local_azure.control.arm_requests(later) == []


def test_throttled_request_counts_twice(local_azure: RunningAzure) -> None:
    """A throttled request counts as throttled and in its class."""
    limit_reads(local_azure, burst=1)
    call(local_azure)
    call(local_azure)
    found = totals(local_azure, "local-azure")
    assert (found["reads"], found["throttled"]) == (2, 1)


def totals(azure: RunningAzure, principal: str) -> dict[str, int]:
    minutes: list[Any] = [each for each in azure.control.arm_requests() if each["principal"] == principal]
    names = ("reads", "writes", "deletes", "queries", "throttled")
    return {name: sum(each[name] for each in minutes) for name in names}
