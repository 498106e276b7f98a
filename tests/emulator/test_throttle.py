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
def test_request_counts_against_the_limit_of_its_class(method: str, path: str, expected: str) -> None:
    assert request_class(method, path) == expected


@given(
    gaps=st.lists(st.floats(min_value=0, max_value=5), max_size=60),
    burst=st.integers(1, 20),
    per_second=st.floats(min_value=0.1, max_value=10),
)
def test_bucket_never_lets_more_through_than_its_burst_and_what_came_back(
    gaps: list[float], burst: int, per_second: float
) -> None:
    limit, now, bucket, passed = Limit(burst, per_second), 0.0, Bucket(burst, 0.0), 0
    for gap in gaps:
        now += gap
        bucket, wait = bucket.take(limit, now)
        passed += wait == 0.0
        assert passed <= burst + now * per_second + 1e-6


@given(st.floats(min_value=0, max_value=0.99), st.floats(min_value=0.1, max_value=100))
def test_request_that_waits_as_told_is_let_through(tokens: float, per_second: float) -> None:
    limit = Limit(10, per_second)
    bucket, wait = Bucket(tokens, 0.0).take(limit, 0.0)
    assert wait > 0
    assert bucket.take(limit, wait + 1e-6)[1] == 0.0


def test_nothing_is_refused_unless_throttling_is_on(local_azure: RunningAzure) -> None:
    local_azure.control.set_modes(arm_reads_burst=1, arm_reads_per_second=0.01)
    assert [call(local_azure).status_code for _ in range(3)] == [200] * 3


def test_request_beyond_the_burst_is_answered_429_with_retry_after(local_azure: RunningAzure) -> None:
    limit_reads(local_azure, burst=2, per_second=0.1)
    answers = [call(local_azure) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].json()["error"]["code"] == "TooManyRequests"
    assert 1 <= int(answers[2].headers["Retry-After"]) <= 10


def test_each_answer_says_how_many_of_its_class_remain(local_azure: RunningAzure) -> None:
    name = "x-ms-ratelimit-remaining-subscription-"
    limit_reads(local_azure, burst=5)
    assert [call(local_azure).headers[name + "reads"] for _ in range(2)] == ["4", "3"]
    assert call(local_azure, "DELETE", FACTORY + "/pipelines/p").headers[name + "deletes"] == "199"
    assert call(local_azure, "POST", FACTORY + "/pipelines/p/createRun").headers[name + "writes"] == "199"
    assert call(local_azure, "POST", FACTORY + "/queryPipelineRuns").headers[name + "resource-requests"] == "999"


def test_principals_and_subscriptions_have_buckets_of_their_own(local_azure: RunningAzure) -> None:
    limit_reads(local_azure, burst=1)
    assert [call(local_azure).status_code for _ in range(2)] == [200, 429]
    assert call(local_azure, principal="somebody-else").status_code == 200
    assert call(local_azure, path=JOBS.replace(SUBSCRIPTION, "another")).status_code == 200


def test_writes_pass_while_reads_are_throttled(local_azure: RunningAzure) -> None:
    limit_reads(local_azure, burst=1)
    assert [call(local_azure).status_code for _ in range(2)] == [200, 429]
    assert call(local_azure, "DELETE", FACTORY + "/pipelines/p").status_code == 204


@pytest.mark.parametrize(
    ("authorization", "expected"),
    [("", ANYONE), ("Bearer", ANYONE), ("Bearer junk", ANYONE), (bearer("me")["Authorization"], "me")],
)
def test_principal_is_read_from_the_token_when_it_has_one(authorization: str, expected: str) -> None:
    assert principal_of(authorization) == expected


def test_requests_are_counted_by_class_and_principal_although_nothing_is_throttled(local_azure: RunningAzure) -> None:
    for _ in range(3):
        call(local_azure)
    call(local_azure, "POST", FACTORY + "/queryPipelineRuns")
    call(local_azure, principal="somebody-else")
    httpx.get(local_azure.base_url + "/v1/not-arm", trust_env=False)

    assert totals(local_azure, "local-azure") == {"reads": 3, "writes": 0, "deletes": 0, "queries": 1, "throttled": 0}
    assert totals(local_azure, "somebody-else")["reads"] == 1


def test_requests_are_counted_since_a_moment(local_azure: RunningAzure) -> None:
    call(local_azure)
    later = datetime.now(UTC) + timedelta(seconds=1)
    assert totals(local_azure, "local-azure")["reads"] == 1
    assert local_azure.control.arm_requests(later) == []


def test_throttled_request_is_counted_as_such_and_in_its_class(local_azure: RunningAzure) -> None:
    limit_reads(local_azure, burst=1)
    call(local_azure)
    call(local_azure)
    found = totals(local_azure, "local-azure")
    assert (found["reads"], found["throttled"]) == (2, 1)


def totals(azure: RunningAzure, principal: str) -> dict[str, int]:
    minutes: list[Any] = [each for each in azure.control.arm_requests() if each["principal"] == principal]
    names = ("reads", "writes", "deletes", "queries", "throttled")
    return {name: sum(each[name] for each in minutes) for name in names}
