"""The HTTP end Azure Event Grid delivers to.

An event is committed to the ledger before it is acknowledged. 400, 401, 403 and 413 make Event Grid drop an event for
good, so a passing fault of our own is always a 503.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime
from typing import Any, assert_never

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from anew.core.deliveries import Acknowledge, Action, Consent, Deliver, Delivery, Refuse, Validate, answer
from anew.core.event_fields import shown
from anew.engine.intake import IntakeResult, receive
from anew.engine.ports import Flows, Ledger
from anew.errors import AnewError
from anew.webhook.config import WebhookConfig
from anew.webhook.relaying import Relay

_RETRY_AFTER = "30"  # seconds; Event Grid waits at least this long after a 503
_SHOWN_REASONS = 10

logger = logging.getLogger("anew.webhook")


def create_app(ledger: Ledger, flows: Flows | None, config: WebhookConfig, clock: Callable[[], datetime]) -> Starlette:
    """The application: `/events` for Event Grid, `/healthz` and `/readyz` for whoever runs it.

    Without *flows* nothing is relayed and events wait for the reconcile flow. Raises InvalidSettings.
    """
    config.validate()
    webhook = _Webhook(ledger, flows, config, clock)
    return Starlette(
        routes=[
            Route("/events", webhook.events, methods=["POST", "OPTIONS"]),
            Route("/healthz", _healthz, methods=["GET"]),
            Route("/readyz", webhook.readyz, methods=["GET"]),
        ],
        lifespan=webhook.lifespan,
    )


class _Webhook:
    def __init__(
        self, ledger: Ledger, flows: Flows | None, config: WebhookConfig, clock: Callable[[], datetime]
    ) -> None:
        self._ledger = ledger
        self._flows = flows
        self._config = config
        self._clock = clock
        self._wake: Callable[[], None] = lambda: None

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncGenerator[None]:
        async with AsyncExitStack() as stack:
            if self._flows is not None:
                relay = Relay(self._ledger, self._flows, self._config, self._clock)
                self._wake = relay.wake
                await stack.enter_async_context(_in_background(relay.run))
            yield

    async def events(self, request: Request) -> Response:
        began = time.monotonic()
        response, what = await self._respond(request)
        # The query holds the secret, so the path alone is logged.
        took = (time.monotonic() - began) * 1000
        logger.info("%s %s %d %.0f ms: %s", request.method, request.url.path, response.status_code, took, what)
        return response

    async def readyz(self, _request: Request) -> Response:
        try:
            await asyncio.to_thread(self._ledger.entries, 1)
        except AnewError as error:
            return _unavailable(error)
        return JSONResponse({"status": "ready"})

    async def _respond(self, request: Request) -> tuple[Response, str]:
        try:
            body = await _read(request, self._config.max_body)
        except ClientDisconnect:
            return Response(status_code=400), "the sender went away"
        delivery = Delivery(request.method, dict(request.headers), request.url.query, body)
        action = await asyncio.to_thread(self._answer, delivery)
        if not isinstance(action, Deliver):
            return _plain(action)
        try:
            result = await asyncio.to_thread(receive, self._ledger, action.parsed, self._clock())
        except AnewError as error:
            return _unavailable(error), f"not stored: {error}"
        if result.stored:
            self._wake()
        return _delivered(result)

    def _answer(self, delivery: Delivery) -> Action:
        config = self._config
        return answer(
            delivery,
            secrets=config.secrets,
            subscriptions=config.subscriptions,
            require_secret=not config.on_loopback,
            workspaces=config.workspaces,
            max_body=config.max_body,
            max_events=config.max_events,
        )


async def _healthz(_request: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _read(request: Request, limit: int) -> bytes:
    """The body, or the beginning of one that is too long: one byte more than the limit is enough to refuse it."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk[: limit + 1 - len(body)]
        if len(body) > limit:
            break
    return bytes(body)


def _plain(action: Validate | Consent | Acknowledge | Refuse) -> tuple[Response, str]:
    match action:
        case Validate(code):
            return JSONResponse({"validationResponse": code}), "subscription validated"
        case Consent(origin, rate):
            headers = {"WebHook-Allowed-Origin": origin, "WebHook-Allowed-Rate": rate, "Allow": "POST"}
            return Response(headers=headers), f"consented to {shown(origin)}"
        case Acknowledge():
            return Response(), "subscription deleted"
        case Refuse(status, reason):
            return JSONResponse({"error": reason}, status), reason
        case _:
            assert_never(action)


def _delivered(result: IntakeResult) -> tuple[Response, str]:
    reasons = [element.reason for element in result.rejected]
    for reason in reasons[:_SHOWN_REASONS]:
        logger.warning("rejected an event: %s", reason)
    counts = {"stored": result.stored, "ignored": result.ignored, "rejected": len(reasons)}
    # One bad element must not cost the good ones of its batch: Event Grid knows no partial success.
    status = 400 if reasons and not result.stored and not result.ignored else 200
    body = counts | ({"reasons": reasons[:_SHOWN_REASONS]} if reasons else {})
    return JSONResponse(body, status), ", ".join(f"{count} {name}" for name, count in counts.items())


def _unavailable(error: AnewError) -> Response:
    return JSONResponse({"error": type(error).__name__}, 503, headers={"Retry-After": _RETRY_AFTER})


@asynccontextmanager
async def _in_background(work: Callable[[], Coroutine[Any, Any, None]]) -> AsyncGenerator[None]:
    task = asyncio.create_task(work())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
