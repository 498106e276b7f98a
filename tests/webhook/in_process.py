"""The webhook's applications without a server: one loop, requests as they come, exceptions not hidden."""

import asyncio
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from typing import Any

import httpx

from anew.engine.base.ledger import Ledger
from anew.webhook.app import Apps
from tests.webhook.serving import apps_of


class InProcess:
    """Asks the public application; what escapes from it is raised."""

    def __init__(self, runner: asyncio.Runner, apps: Apps) -> None:
        self._runner = runner
        self.apps = apps
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(apps.public), base_url="http://anew")

    def request(self, method: str, url: str, **terms: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            return await asyncio.wait_for(self._client.request(method, url, **terms), 20)

        return self._runner.run(ask())

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        self._runner.run(work)


@contextmanager
def in_process(ledger: Ledger) -> Generator[InProcess]:
    """The webhook of a ledger, its background work running whenever it is asked something."""
    apps = apps_of(ledger)
    with asyncio.Runner() as runner:
        lifespan = apps.public.router.lifespan_context(apps.public)

        async def enter() -> None:
            await lifespan.__aenter__()

        async def leave() -> None:
            await lifespan.__aexit__(None, None, None)

        runner.run(enter())
        try:
            yield InProcess(runner, apps)
        finally:
            runner.run(leave())
