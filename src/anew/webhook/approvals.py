"""`/approvals/TOKEN`: approving or rejecting one retraining by the link of a notification.

Only the form on the page changes anything. Fetching the page does not, because mail scanners and chats fetch every link
that they see. The token is the permission itself and is never logged.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from urllib.parse import parse_qs

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from anew.core.decisions.explain import one_line
from anew.core.retrainings.approval_links import ApprovalLinks, Permit
from anew.core.retrainings.lifecycle import Retraining, RetrainingState
from anew.engine.base.ledger import Ledger
from anew.engine.promotion.approving import answer
from anew.engine.promotion.asking import LedgerAlone, question_of
from anew.errors import (
    AnewError,
    BodyTooLarge,
    ExpiredLink,
    IllegalTransition,
    InvalidLink,
    NothingKnown,
    TemporaryError,
)
from anew.webhook.approval_pages import MOST_NAME, MOST_REASON, decided, page, question
from anew.webhook.bodies import Bodies
from anew.webhook.failed_attempts import FailedAttempts, FailureLimit, bucket_of

METHODS = ("GET", "HEAD", "POST")

_MOST_BODY = 32_000  # bytes: a name and a reason, each character of which may take twelve
_MOST_FIELDS = 8
_ANSWERS = {"approve": True, "reject": False}
_FORM = "application/x-www-form-urlencoded"
_TIMEOUT = 20.0  # seconds for the whole request
_AT_ONCE = 4

logger = logging.getLogger("anew.webhook")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Filled:
    """The form as it was sent. `revision` is that of the retraining which it showed."""

    revision: str
    approved: bool | None
    name: str
    reason: str

    @property
    def missing(self) -> str:
        """Which field has to be filled in; empty when none is missing."""
        if not self.name:
            return "Say who you are."
        if not self.reason:
            return "Say why."
        return "" if self.approved is not None else "Approve or reject."


class ApprovalsEndpoint:
    """The ASGI application behind `/approvals/{token}`. *monotonic* counts seconds."""

    def __init__(
        self,
        links: ApprovalLinks,
        ledger: Ledger,
        clock: Callable[[], datetime],
        *,
        limit: FailureLimit | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._links = links
        self._engine = LedgerAlone(ledger)
        self._clock = clock
        self._bodies = Bodies(_MOST_BODY)
        self._failures = FailedAttempts(limit or FailureLimit())
        self._monotonic = monotonic
        # Its own threads, so that a ledger that hangs on a decision holds up no event.
        self._threads = ThreadPoolExecutor(_AT_ONCE, "anew-approvals")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises nothing."""
        request = Request(scope, receive)
        try:
            async with asyncio.timeout(_TIMEOUT):
                response = await self._respond(request)
        except ClientDisconnect:
            return
        except TimeoutError:
            response = _later()
        except AnewError as error:
            response = _failed(error)
        except Exception:
            # A process boundary: the person is told to try again.
            logger.exception("%s /approvals: unexpected failure", request.method)
            response = _later()
        # The path holds the token, so it is not logged.
        logger.info("%s /approvals %d", request.method, response.status_code)
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        if request.method not in METHODS:
            return page(405, "This method is not allowed", "", Allow=", ".join(METHODS))
        try:
            permit = self._links.check(request.path_params["token"], self._clock())
        except ExpiredLink:
            return page(410, "This link has expired", "<p>Without an answer the candidate was rejected.</p>")
        except InvalidLink:
            return self._refused(bucket_of(request.client.host if request.client else None))
        retraining = await self._off_loop(lambda: self._read(permit))
        if request.method != "POST":
            return _shown(retraining, permit)
        return await self._answered(request, retraining, permit)

    def _refused(self, address: str) -> Response:
        # A genuine link is never slowed down: behind a proxy that hides addresses, an attacker shares its address.
        wait = self._failures.wait(address, self._monotonic())
        if wait > 0:
            return page(429, "Too many wrong links from this address", "", **{"Retry-After": str(math.ceil(wait))})
        self._failures.count(address, self._monotonic())
        return page(403, "This link is not valid", "<p>It may have been cut off or altered on its way.</p>")

    async def _answered(self, request: Request, retraining: Retraining, permit: Permit) -> Response:
        if request.headers.get("content-type", "").partition(";")[0].strip().casefold() != _FORM:
            return page(415, "Use the form of the page", "")
        self._bodies.check_length(request.headers.get("content-length", ""))
        async with self._bodies.body(request) as body:
            filled = _filled(body)
        if retraining.state is not RetrainingState.AWAITING_APPROVAL:
            return decided(retraining)
        if filled.missing or filled.approved is None:
            return question(retraining, permit, 400, filled.missing)
        if filled.revision != str(retraining.revision):
            # For example because another version went live since, and the candidate was compared with that one.
            return question(retraining, permit, 409, "This has changed since you looked. Please answer again.")
        approved, by = filled.approved, f"{filled.name} (link {permit.link_id})"
        try:
            answered = await self._off_loop(
                lambda: answer(self._engine, permit.retraining_id, approved, by, filled.reason, self._clock())
            )
        except (IllegalTransition, NothingKnown):
            # Decided before, or too late: the first decision counts, and the page shows it.
            return decided(await self._off_loop(lambda: self._read(permit)), 409)
        logger.info("%s was answered by a link: %s", answered.id, "approved" if approved else "rejected")
        return decided(answered)

    def _read(self, permit: Permit) -> Retraining:
        return question_of(self._engine, permit.retraining_id, self._clock()).retraining

    async def _off_loop(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _shown(retraining: Retraining, permit: Permit) -> Response:
    if retraining.state is RetrainingState.AWAITING_APPROVAL:
        return question(retraining, permit)
    return decided(retraining)


def _filled(body: bytes) -> _Filled:
    try:
        fields = parse_qs(body.decode("ascii"), max_num_fields=_MOST_FIELDS)
    except ValueError:
        fields = {}
    return _Filled(
        revision=_text(fields, "revision", 20),
        approved=_ANSWERS.get(_text(fields, "answer", 10)),
        name=_text(fields, "name", MOST_NAME),
        reason=_text(fields, "reason", MOST_REASON),
    )


def _text(fields: Mapping[str, list[str]], name: str, most: int) -> str:
    # One line, because it goes into the audit trail, and from there to terminals.
    return one_line(fields.get(name, [""])[0])[:most]


def _failed(error: AnewError) -> Response:
    match error:
        case NothingKnown():
            return page(410, "Nothing waits for approval here any more", "")
        case BodyTooLarge():
            return page(413, "The form is too long", "", Connection="close")
        case TemporaryError():
            return _later()
        case _:
            logger.error("/approvals: %s: %s", type(error).__name__, error)
            return page(500, "This did not work", "<p>The log of the webhook says why.</p>")


def _later() -> Response:
    # The body may be unread: the rest of it would be taken for the next request.
    headers = {"Retry-After": "10", "Connection": "close"}
    return page(503, "Not available now", "<p>Nothing was changed. Try again in a moment.</p>", **headers)
