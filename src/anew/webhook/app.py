"""The webhook's two applications and their background tasks."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Route

from anew.core.retrainings.approval_links import PATH
from anew.engine.base.ledger import Ledger
from anew.engine.base.ports import Flows
from anew.webhook.approvals import ApprovalsEndpoint
from anew.webhook.authentication import Authenticator
from anew.webhook.config import WebhookConfig
from anew.webhook.events_endpoint import EventsEndpoint
from anew.webhook.group_commit import GroupCommit
from anew.webhook.health import Health
from anew.webhook.operator_app import create_operator_app
from anew.webhook.relaying import Relay

_LAG_EVERY = 0.25  # seconds

Work = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Apps:
    """The public app serves `/events` to Event Grid and `/approvals` to people with a link; the other serves operators.

    The lifespan, which runs the background tasks, is that of the public app.
    """

    public: Starlette
    operator: Starlette


def create_apps(
    ledger: Ledger,
    flows: Flows | None,
    config: WebhookConfig,
    authenticator: Authenticator,
    clock: Callable[[], datetime],
    approvals: ApprovalsEndpoint | None = None,
) -> Apps:
    """Both applications.

    Without *flows* nothing is relayed, and events wait for the reconcile flow. Without *approvals* links do not work.
    """
    health = Health(clock, relayed=flows is not None)
    commits = GroupCommit(ledger, clock, committed=health.commits.up)
    relay = None if flows is None else Relay(ledger, flows, config, clock, health)
    work: list[Work] = [commits.run, lambda: _watch_lag(health)]
    if relay is not None:
        work.append(relay.run)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncGenerator[None]:
        async with AsyncExitStack() as stack:
            for each in work:
                await stack.enter_async_context(_in_background(each))
            yield

    endpoint = EventsEndpoint(commits, config, authenticator, clock, relay.wake if relay else lambda: None)
    routes = [Route("/events", endpoint)]
    if approvals is not None:
        routes.append(Route(f"{PATH}/{{token}}", approvals))
    public = Starlette(routes=routes, lifespan=lifespan)
    public.router.redirect_slashes = False
    return Apps(public, create_operator_app(ledger, health, clock))


@asynccontextmanager
async def _in_background(work: Work) -> AsyncGenerator[None]:
    task = asyncio.create_task(work())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _watch_lag(health: Health) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + _LAG_EVERY
        await asyncio.sleep(_LAG_EVERY)
        health.lags.append(max(0.0, loop.time() - due))
