"""What is late is not sent by the SDK, however long its sign-in and its repeats take."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline import PipelineContext, PipelineRequest
from azure.core.rest import HttpRequest
from azure.mgmt.datafactory import DataFactoryManagementClient

from anew.adapters.azure.sending import refuse_late, sent_before
from anew.emulator.arm.credentials import EmulatorCredential, connection
from anew.errors import AzureUnavailable
from tests.adapters.failing_server import FailingServer, failing_server
from tests.emulator.support import RESOURCE_GROUP, SUBSCRIPTION

START = datetime(2026, 11, 1, tzinfo=UTC)
UNTIL = START + timedelta(minutes=1)
FACTORY = "factory"


@dataclass
class Clock:
    """A clock that only the test moves, and sign-ins that take some of its time."""

    now: datetime = START
    sign_in: timedelta = timedelta(0)

    def __call__(self) -> datetime:
        return self.now

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        self.now += self.sign_in
        return EmulatorCredential().get_token(*scopes, **options)


@pytest.fixture
def server() -> Iterator[FailingServer]:
    with failing_server() as ready:
        yield ready


def factory_client(server: FailingServer, clock: Clock, **options: Any) -> DataFactoryManagementClient:
    policies = connection(server.url).policies()
    return DataFactoryManagementClient(
        clock, SUBSCRIPTION, base_url=server.url, per_call_policies=policies, retry_backoff_factor=0, **options
    )


def create_run(client: DataFactoryManagementClient) -> None:
    client.pipelines.create_run(RESOURCE_GROUP, FACTORY, "pipeline")


def test_slow_sign_in_stops_the_write(server: FailingServer) -> None:
    """A write is not sent when the sign-in takes so long that it would be late."""
    clock = Clock(sign_in=timedelta(minutes=2))
    client = factory_client(server, clock, raw_request_hook=refuse_late)

    with pytest.raises(AzureUnavailable, match="late"), sent_before(UNTIL, clock):
        create_run(client)

    assert server.requests["POST"] == 0


def test_late_retry_is_not_sent(server: FailingServer) -> None:
    """A late retry is not sent, although earlier attempts were."""
    clock = Clock()

    def refuse_late_and_wait(request: Any) -> None:
        refuse_late(request)
        clock.now += timedelta(seconds=25)

    client = factory_client(server, clock, raw_request_hook=refuse_late_and_wait, retry_total=9)

    with pytest.raises(AzureUnavailable, match="late"), sent_before(UNTIL, clock):
        create_run(client)

    assert server.requests["POST"] == 3


def test_late_read_is_sent(server: FailingServer) -> None:
    """A late read is sent."""
    clock = Clock(now=UNTIL)
    client = factory_client(server, clock, raw_request_hook=refuse_late, retry_total=0)

    with pytest.raises(HttpResponseError), sent_before(UNTIL, clock):
        client.factories.get(RESOURCE_GROUP, FACTORY)

    assert server.requests["GET"] == 1


def swallow(refused: PipelineRequest[HttpRequest], instead: Exception | None) -> None:
    """An SDK that makes something else of an error in its hook."""
    try:
        refuse_late(refused)
    except AzureUnavailable:
        if instead is not None:
            raise instead from None


@pytest.mark.parametrize("instead", [ValueError("of the SDK"), HttpResponseError("of the SDK"), None])
def test_late_error_survives_the_sdk(instead: Exception | None) -> None:
    """A late write raises `AzureUnavailable` even when the SDK replaces or swallows the error."""
    request = PipelineRequest(HttpRequest("PUT", "https://management.azure.com"), PipelineContext(None))

    with pytest.raises(AzureUnavailable, match="late"), sent_before(UNTIL, Clock(now=UNTIL)):
        swallow(request, instead)


def test_deadline_ends_with_its_block(server: FailingServer) -> None:
    """Outside its `sent_before` block a deadline stops no request."""
    clock = Clock(now=UNTIL)
    with pytest.raises(AzureUnavailable), sent_before(UNTIL, clock):
        create_run(factory_client(server, clock, raw_request_hook=refuse_late))

    with pytest.raises(HttpResponseError):
        create_run(factory_client(server, clock, raw_request_hook=refuse_late, retry_total=0))

    assert server.requests["POST"] == 1


def test_unguarded_client_is_detected(server: FailingServer) -> None:
    """A client without the `refuse_late` hook is detected."""
    server.status, server.body = 200, '{"runId": "r"}'

    with pytest.raises(AssertionError, match="refuse_late"), sent_before(UNTIL, Clock()):
        create_run(factory_client(server, Clock()))
