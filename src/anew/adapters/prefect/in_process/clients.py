"""The clients of a flow run, which share what a client is slow to make.

Prefect makes a TLS context for each client, also for a server without TLS, and reads some 140 certificates for it:
25 ms and more, three times for each run. httpx takes a context that several clients share (its "SSL" guide).
"""

import ssl
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from typing import Any

import certifi
from prefect.context import AsyncClientContext, SyncClientContext
from prefect.settings import get_current_settings


@asynccontextmanager
async def async_client() -> AsyncGenerator[None]:
    """Within it, this event loop's `get_client()` is one client, and so is that of a flow's engine."""
    async with _AsyncClient(_httpx_settings()):
        yield


@contextmanager
def sync_client() -> Generator[None]:
    """Within it, this thread's `get_client(sync_client=True)` is one client."""
    with _SyncClient(_httpx_settings()):
        yield


# `get_client()` takes a client of the context only if it was made with the same settings: for our callers, with none.
class _AsyncClient(AsyncClientContext):
    def __init__(self, httpx_settings: dict[str, Any] | None) -> None:
        super().__init__(httpx_settings)
        self._httpx_settings = None


class _SyncClient(SyncClientContext):
    def __init__(self, httpx_settings: dict[str, Any] | None) -> None:
        super().__init__(httpx_settings)
        self._httpx_settings = None


def _httpx_settings() -> dict[str, Any] | None:
    api = get_current_settings().api
    # Who does not verify has a context of Prefect's own making.
    return None if api.tls_insecure_skip_verify else {"verify": _tls(api.ssl_cert_file or certifi.where())}


@cache
def _tls(certificates: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificates)
