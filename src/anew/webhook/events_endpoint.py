"""`/events`: a request is checked, its body read and parsed, its events stored, and then it is answered.

After a 400, 401, 403 or 413 Event Grid drops an event for good ("Event Grid message delivery and retry"). So these are
only for requests that would fail the same way again; a temporary fault of anew is always a 503, and it is sent again.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, assert_never

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from anew.core.base.token_bucket import Level, take
from anew.core.events.deliveries import Acknowledge, Action, Consent, Deliver, Delivery, Refuse, Validate, answer
from anew.core.events.event import Event, Parsed, Rejected
from anew.core.events.fields import shown
from anew.errors import AnewError, BodyTooLarge, TemporaryError, WebhookBusy
from anew.webhook.authentication import Authenticator
from anew.webhook.bodies import Bodies
from anew.webhook.config import WebhookConfig
from anew.webhook.group_commit import GroupCommit

RETRY_AFTER = 30  # seconds; Event Grid waits at least this long after a 503
METHODS = ("POST", "OPTIONS")

_SHOWN_REASONS = 10
_PARSED_AT_ONCE = 100_000  # bytes; longer bodies are parsed in a thread, or they would hold up other requests

logger = logging.getLogger("anew.webhook")


@dataclass(frozen=True, slots=True)
class _Answer:
    """An answer, and the text that the log has for it."""

    status: int
    said: str
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def response(self) -> Response:
        headers = dict(self.headers)
        return (
            Response(None, self.status, headers) if self.body is None else JSONResponse(self.body, self.status, headers)
        )


class EventsEndpoint:
    """The ASGI application behind `/events`. *stored* is called after each commit."""

    def __init__(
        self,
        commits: GroupCommit,
        config: WebhookConfig,
        authenticator: Authenticator,
        clock: Callable[[], datetime],
        stored: Callable[[], None],
    ) -> None:
        self._commits = commits
        self._config = config
        self._authenticator = authenticator
        self._clock = clock
        self._stored = stored
        self._bodies = Bodies(config.max_body)
        self._level: Level | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises nothing."""
        began = time.monotonic()
        request = Request(scope, receive)
        try:
            async with asyncio.timeout(self._config.answer_within.total_seconds()):
                done = await self._answer(request)
        except ClientDisconnect:
            logger.info("%s /events: the sender went away", request.method)
            return
        except TimeoutError:
            done = _later("not done in time", WebhookBusy.__name__)
        except AnewError as error:
            done = _failed(error)
        except Exception:
            # A process boundary: after a 503 Event Grid sends the event again, whatever went wrong.
            logger.exception("%s /events: unexpected failure", request.method)
            done = _later("unexpected failure", "InternalError")
        # The query may hold a secret, so the path alone is logged.
        took = (time.monotonic() - began) * 1000
        level = logging.DEBUG if done.status == 200 and request.method == "POST" else logging.INFO
        logger.log(level, "%s /events %d %.0f ms: %s", request.method, done.status, took, done.said)
        await done.response(scope, receive, send)

    async def _answer(self, request: Request) -> _Answer:
        if request.method not in METHODS:
            return _refused(405, "use POST", Allow=", ".join(METHODS))
        headers = dict(request.headers)
        self._bodies.check_length(headers.get("content-length", ""))
        client = request.client.host if request.client else None
        query = request.scope["query_string"].decode("utf-8", "surrogateescape")
        refusal = await self._authenticator.refuse(headers, query, client, handshake=request.method == "OPTIONS")
        if refusal is not None:
            return _refused(refusal.status, refusal.reason, Connection="close", **refusal.headers)
        self._take_token()
        async with self._bodies.body(request) as body:
            return await self._act(await self._read(Delivery(request.method, headers, body)))

    def _take_token(self) -> None:
        self._level, wait = take(self._config.rate, self._level, 1, self._clock())
        if wait:
            raise WebhookBusy(f"more than {self._config.rate.per_second:g} requests a second", delay=wait)

    async def _read(self, delivery: Delivery) -> Action:
        if len(delivery.body) > _PARSED_AT_ONCE:
            return await asyncio.to_thread(self._action, delivery)
        return self._action(delivery)

    def _action(self, delivery: Delivery) -> Action:
        config = self._config
        return answer(
            delivery,
            subscriptions=config.subscriptions,
            workspaces=config.workspaces,
            max_events=config.max_events,
        )

    async def _act(self, action: Action) -> _Answer:
        match action:
            case Deliver(parsed):
                await self._commits.keep(parsed)
                self._stored()
                return _delivered(parsed)
            case Validate(code):
                return _Answer(200, "subscription validated", {"validationResponse": code})
            case Consent(origin, rate):
                headers = {"WebHook-Allowed-Origin": origin, "WebHook-Allowed-Rate": rate, "Allow": "POST"}
                return _Answer(200, f"consented to {shown(origin)}", headers=headers)
            case Acknowledge():
                return _Answer(200, "subscription deleted")
            case Refuse(status, reason):
                return _refused(status, reason, **({"Allow": ", ".join(METHODS)} if status == 405 else {}))
            case _:
                assert_never(action)


def _delivered(parsed: Sequence[Parsed]) -> _Answer:
    stored = sum(isinstance(element, Event) for element in parsed)
    reasons = [element.reason for element in parsed if isinstance(element, Rejected)]
    for reason in reasons[:_SHOWN_REASONS]:
        logger.warning("kept as a dead letter: %s", reason)
    counts = {"stored": stored, "ignored": len(parsed) - stored - len(reasons), "rejected": len(reasons)}
    # Event Grid knows no partial success, and one bad element must not cost the good ones of its batch.
    status = 400 if reasons and len(reasons) == len(parsed) else 200
    body = counts | ({"reasons": reasons[:_SHOWN_REASONS]} if reasons else {})
    return _Answer(status, ", ".join(f"{count} {name}" for name, count in counts.items()), body)


def _refused(status: int, reason: str, **headers: str) -> _Answer:
    return _Answer(status, reason, {"error": reason}, headers)


def _failed(error: AnewError) -> _Answer:
    if isinstance(error, BodyTooLarge):
        return _refused(413, str(error), Connection="close")
    delay = error.delay.total_seconds() if isinstance(error, TemporaryError) else RETRY_AFTER
    return _later(f"not stored: {error}", type(error).__name__, delay)


def _later(said: str, kind: str, seconds: float = RETRY_AFTER) -> _Answer:
    # The body may be unread: the rest of it would be taken for the next request.
    headers = {"Retry-After": str(max(1, math.ceil(seconds))), "Connection": "close"}
    return _Answer(503, said, {"error": kind}, headers)
