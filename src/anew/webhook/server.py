"""Serving the webhook's two applications with uvicorn: one process, one event loop, two ports."""

import asyncio
import contextlib
import gc
import sys
from collections.abc import Generator

import uvicorn

from anew.webhook.app import Apps
from anew.webhook.config import WebhookConfig
from anew.webhook.head_limits import HeadLimitsProtocol

_CONNECTIONS = 1000
_KEEP_ALIVE = 75  # seconds: longer than a proxy in front keeps connections, or it would send into closed ones
_BACKLOG = 2048
_SWITCH_SECONDS = 0.0002  # how long one thread may keep the others from running


def serve(apps: Apps, config: WebhookConfig) -> None:
    """Serve until a signal ends it; requests under way are answered first."""
    # Both keep the slowest of 500 events a second short: see docs/adr/0019.
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(_SWITCH_SECONDS)
    public = uvicorn.Server(server_config(apps, config))
    with asyncio.Runner(loop_factory=public.config.get_loop_factory()) as runner:
        runner.run(_serve_both(public, _Beside(_operator_config(apps, config))))


def server_config(apps: Apps, config: WebhookConfig) -> uvicorn.Config:
    """How the public port is served. uvicorn's access log is off: it would show query strings, which hold secrets."""
    return uvicorn.Config(
        apps.public,
        host=config.host,
        port=config.port,
        http=HeadLimitsProtocol,
        access_log=False,
        log_config=None,
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=30,
        backlog=_BACKLOG,
    )


def _operator_config(apps: Apps, config: WebhookConfig) -> uvicorn.Config:
    host, port = config.operator_address
    return uvicorn.Config(
        apps.operator,
        host=host,
        port=port,
        http=HeadLimitsProtocol,
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        limit_concurrency=50,
    )


class _Beside(uvicorn.Server):
    """A server that leaves signals to the other one."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


async def _serve_both(public: uvicorn.Server, operator: uvicorn.Server) -> None:
    beside = asyncio.create_task(operator.serve())
    try:
        await public.serve()
    finally:
        operator.should_exit = True
        await beside
