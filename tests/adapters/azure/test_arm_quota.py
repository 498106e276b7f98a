"""All clients on one ledger together ask Azure Resource Manager no more than it grants one principal."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.core.pipeline import PipelineContext, PipelineRequest, PipelineResponse
from azure.core.rest import HttpRequest
from azure.mgmt.datafactory import DataFactoryManagementClient

from anew.adapters.azure.arm_quota import ArmQuota
from anew.core.base.token_bucket import ARM_READS
from anew.engine.base.ledger import Ledger
from anew.errors import AzureThrottled
from tests.builders import fresh_ledger
from tests.emulator.support import RESOURCE_GROUP, SUBSCRIPTION, RunningAzure, run_local_azure

ARM = f"https://management.azure.com/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Some.Kind/things/one"


class World:
    """A clock that only waiting moves."""

    def __init__(self) -> None:
        self.now = datetime(2026, 7, 14, 12, tzinfo=UTC)
        self.waited: list[float] = []

    def quota(self, ledger: Ledger) -> ArmQuota:
        return ArmQuota(ledger, SUBSCRIPTION, clock=lambda: self.now, sleep=self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.now += timedelta(seconds=seconds)


def request(method: str = "GET", url: str = ARM) -> PipelineRequest[Any]:
    return PipelineRequest(HttpRequest(method, url), PipelineContext(None))


def answered(asked: PipelineRequest[Any], status: int, **headers: str) -> PipelineResponse[Any, Any]:
    class ApprovalDecision:
        status_code = status

        def __init__(self) -> None:
            self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    return PipelineResponse(asked.http_request, ApprovalDecision(), asked.context)


def test_reads_beyond_the_burst_wait() -> None:
    """Reads within the burst are free, and reads beyond it wait for the refill."""
    world, ledger = World(), fresh_ledger()
    quota = world.quota(ledger)
    for _ in range(int(ARM_READS.burst)):
        quota.on_request(request())
    assert world.waited == []

    for _ in range(100):
        quota.on_request(request())

    assert sum(world.waited) == pytest.approx(100 / ARM_READS.per_second, rel=0.1)


def test_two_processes_share_one_burst() -> None:
    """Two processes on one ledger share one burst."""
    world, ledger = World(), fresh_ledger()
    one, other = world.quota(ledger), world.quota(ledger)

    for _ in range(int(ARM_READS.burst / 2) + 10):
        one.on_request(request())
        other.on_request(request())

    assert world.waited != []


def test_only_arm_reads_are_counted() -> None:
    """Writes and requests to other services take nothing from the read quota."""
    world, ledger = World(), fresh_ledger()
    quota = world.quota(ledger)

    for _ in range(int(ARM_READS.burst) * 2):
        quota.on_request(request("PUT"))
        quota.on_request(request("GET", "https://api.azureml.ms/history/v1.0/subscriptions/s/runs/r"))
        quota.on_request(request("POST", "https://api.loganalytics.io/v1/workspaces/w/query"))

    assert world.waited == []


def test_throttling_pauses_every_process() -> None:
    """A 429 answer pauses every process for as long as its `Retry-After` says."""
    world, ledger = World(), fresh_ledger()
    one, other = world.quota(ledger), world.quota(ledger)
    asked = request()
    one.on_request(asked)

    with pytest.raises(AzureThrottled) as thrown:
        one.on_response(asked, answered(asked, 429, Retry_After="12"))
    assert thrown.value.delay == timedelta(seconds=12)
    other.on_request(request())

    assert sum(world.waited) == pytest.approx(12, abs=0.5)


@pytest.mark.parametrize("said", ["", "soon", "nan", "-5", "1e300"])
def test_invalid_retry_after_is_bounded(said: str) -> None:
    """A `Retry-After` that makes no sense pauses for a bounded time."""
    world, ledger = World(), fresh_ledger()
    asked = request()

    with pytest.raises(AzureThrottled) as thrown:
        world.quota(ledger).on_response(asked, answered(asked, 429, Retry_After=said))

    assert timedelta(0) <= thrown.value.delay <= timedelta(minutes=5)


def test_long_pause_is_an_error() -> None:
    """A pause that is too long to wait for raises `AzureThrottled` instead of sleeping."""
    world, ledger = World(), fresh_ledger()
    ledger.pause_bucket(f"arm-reads/{SUBSCRIPTION}", world.now + timedelta(minutes=4))

    with pytest.raises(AzureThrottled):
        world.quota(ledger).on_request(request())

    assert world.waited == []


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAzure]:
    with run_local_azure(tmp_path_factory.mktemp("quota")) as running:
        yield running


@contextmanager
def factory_within(quota: ArmQuota, azure: RunningAzure) -> Iterator[DataFactoryManagementClient]:
    at = azure.connection
    options: dict[str, Any] = {"per_call_policies": at.policies(), "per_retry_policies": [quota]}
    with DataFactoryManagementClient(at.credential, SUBSCRIPTION, base_url=at.base_url, **options) as client:
        yield client


def test_sdk_reads_use_the_quota(azure: RunningAzure) -> None:
    """The SDK clients ask the quota for each read."""
    world, ledger = World(), fresh_ledger()
    with factory_within(world.quota(ledger), azure) as client:
        for _ in range(int(ARM_READS.burst) + 20):
            list(client.pipelines.list_by_factory(RESOURCE_GROUP, "adf-anew"))

    assert world.waited != []
