"""Local Azure as one ASGI application: the routes of every service, the middleware and the background workers."""

import importlib
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from anew.emulator import control, faults, throttle
from anew.emulator.arm import entra, operations
from anew.emulator.arm.protocol import ArmError, arm_error, require_bearer
from anew.emulator.base.cloud import Cloud
from anew.emulator.base.connections import ResettableProtocol
from anew.emulator.data_factory import factory as data_factory
from anew.emulator.endpoints import batch_endpoints, online_endpoints, scoring
from anew.emulator.event_grid import subscriptions as event_grid
from anew.emulator.log_analytics import queries as log_analytics
from anew.emulator.machine_learning import job_runner, jobs, mlflow, models, workspaces
from anew.emulator.scenarios import observations, simulated_traffic, streams

SERVICES: Final = (
    workspaces,
    jobs,
    models,
    online_endpoints,
    batch_endpoints,
    operations,
    scoring,
    data_factory,
    event_grid,
    entra,
    log_analytics,
    mlflow,
    streams,
    observations,
    simulated_traffic,
    faults,
    throttle,
    control,
)
BEARER_PATHS: Final = ("/subscriptions/", "/v1/", "/history/", "/mlflow/")
STOP_SECONDS: Final = 1
HEAVY_MODULES: Final = ("sklearn.ensemble", "pandas", "duckdb_kql")


class BearerCheck:
    """Answers 401 to a request for an Azure resource that carries no bearer token."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "http" and scope["path"].startswith(BEARER_PATHS):
            refusal = require_bearer(Request(scope))
            if refusal is not None:
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)


def create_app(cloud: Cloud, *, warm: bool = True) -> Starlette:
    """The application over one cloud; warm imports the heavy libraries in the background after the start."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        stops = [worker.start(cloud) for worker in (event_grid, job_runner, data_factory)]
        cloud.publish_left_over()
        if warm:
            threading.Thread(target=_warm, name="warm-imports", daemon=True).start()
        try:
            yield
        finally:
            for stop in reversed(stops):
                stop()

    return Starlette(
        routes=[route for service in SERVICES for route in service.routes(cloud)],
        middleware=[
            Middleware(throttle.ArmThrottle, cloud),
            Middleware(faults.FaultInjection, cloud),
            Middleware(BearerCheck),
        ],
        exception_handlers={ArmError: _refuse, HTTPException: _refuse},
        lifespan=lifespan,
    )


def make_server(app: ASGIApp, host: str, port: int) -> uvicorn.Server:
    """The server of local Azure: it can reset connections, and it stops although some hang."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=ResettableProtocol,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    return uvicorn.Server(config)


def serve(host: str, port: int, folder: Path) -> None:
    """Serve the local Azure kept in folder until interrupted."""
    cloud = Cloud.open(folder, f"http://{host}:{port}")
    try:
        make_server(create_app(cloud), host, port).run()
    finally:
        cloud.store.close()


async def _refuse(request: Request, error: Exception) -> Response:
    match error:
        case ArmError():
            return error.response()
        case HTTPException():
            return arm_error(error.status_code, error.detail.replace(" ", ""), f"{request.method} {request.url.path}")
        case _:
            raise error


def _warm() -> None:
    for module in HEAVY_MODULES:
        importlib.import_module(module)
