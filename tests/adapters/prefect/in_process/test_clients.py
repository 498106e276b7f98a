"""The clients of a flow run against a real Prefect server."""

import asyncio
import ssl
from collections.abc import Iterator

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_TLS_INSECURE_SKIP_VERIFY, PREFECT_API_URL, temporary_settings

from anew.adapters.prefect.in_process.clients import async_client, sync_client
from tests.prefect_server import PrefectServer

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[ssl.SSLContext]:
    """Every TLS context that is made from now on."""
    contexts: list[ssl.SSLContext] = []
    make = ssl.create_default_context

    def making(purpose: ssl.Purpose = ssl.Purpose.SERVER_AUTH, *, cafile: str | None = None) -> ssl.SSLContext:
        contexts.append(make(purpose, cafile=cafile))
        return contexts[-1]

    monkeypatch.setattr(ssl, "create_default_context", making)
    return contexts


@pytest.fixture(autouse=True)
def server(prefect_api: PrefectServer) -> Iterator[None]:
    with temporary_settings({PREFECT_API_URL: prefect_api.api_url}):
        yield


async def _ask() -> None:
    async with async_client():
        assert get_client() is get_client()
        assert (await get_client().hello()).is_success


def _ask_sync() -> None:
    with sync_client():
        assert get_client(sync_client=True) is get_client(sync_client=True)
        assert get_client(sync_client=True).hello().is_success


def test_second_run_makes_no_tls_context(made: list[ssl.SSLContext]) -> None:
    asyncio.run(_ask())
    _ask_sync()
    made.clear()

    asyncio.run(_ask())
    _ask_sync()

    assert made == []


def test_who_does_not_verify_gets_a_client_that_does_not(made: list[ssl.SSLContext]) -> None:
    with temporary_settings({PREFECT_API_TLS_INSECURE_SKIP_VERIFY: True}):
        asyncio.run(_ask())

    assert [context.verify_mode for context in made] == [ssl.CERT_NONE]
