"""Injected faults: refusals, resets, slow answers and no answers, before or after the service did its work.

Rules are tried in order, and the first that strikes decides. All chance comes from one seed, so that the same requests
in the same order meet the same faults. Control routes (/emulator/...) never fail.
"""

import asyncio
import random
import re
import threading
from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Final, Literal

import pydantic
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from anew.emulator.arm.protocol import ArmCall, arm_error, arm_route
from anew.emulator.base import connections
from anew.emulator.base.cloud import Cloud

CONTROL_PATH: Final = "/emulator/"
_KIND: Final = "faults"
_HANG_SECONDS: Final = 300.0


class _Fault(pydantic.BaseModel, frozen=True, extra="forbid"):
    """The requests that a rule concerns, how often it strikes, and whether the service does its work first."""

    methods: frozenset[str] = frozenset()
    """HTTP methods; none given means all."""
    path: re.Pattern[str] = re.compile("")
    """Searched for in the path."""
    probability: float = pydantic.Field(default=1.0, ge=0.0, le=1.0)
    times: int | None = pydantic.Field(default=None, ge=1)
    """The most strikes; None means no limit."""
    when: Literal["before", "after"] = "before"
    """``before``: the request does not reach the service. ``after``: it is done, and the answer is lost."""

    def concerns(self, method: str, path: str) -> bool:
        """Whether the rule concerns such a request."""
        return (not self.methods or method in self.methods) and self.path.search(path) is not None


class StatusFault(_Fault, frozen=True):
    """Answers with a status, and with Retry-After in seconds when it is given."""

    kind: Literal["status"]
    status: int = pydantic.Field(ge=400, le=599)
    retry_after: float | None = pydantic.Field(default=None, ge=0.0)

    def response(self) -> Response:
        """The answer."""
        code = HTTPStatus(self.status).phrase.title().replace(" ", "")
        response = arm_error(self.status, code, "A fault rule of local Azure refuses this request.")
        if self.retry_after is not None:
            response.headers["Retry-After"] = f"{self.retry_after:g}"
        return response


class ResetFault(_Fault, frozen=True):
    """Resets the connection without an answer."""

    kind: Literal["reset"]


class SlowFault(_Fault, frozen=True):
    """Delays: before the request reaches the service, which it does even if the client gives up, or after."""

    kind: Literal["slow"]
    seconds: float = pydantic.Field(gt=0.0)


class HangFault(_Fault, frozen=True):
    """Never answers; the connection stays open until the client closes it, or is reset after seconds."""

    kind: Literal["hang"]
    seconds: float = pydantic.Field(default=_HANG_SECONDS, gt=0.0)


Fault = Annotated[StatusFault | ResetFault | SlowFault | HangFault, pydantic.Field(discriminator="kind")]


class FaultPlan(pydantic.BaseModel, frozen=True, extra="forbid"):
    """The rules in force and the seed of their chance."""

    seed: int = 0
    rules: tuple[Fault, ...] = ()


class _State(pydantic.BaseModel, frozen=True):
    """The part that survives a restart: the plan, how often chance was asked, and how often each rule struck."""

    plan: FaultPlan = FaultPlan()
    draws: int = 0
    strikes: tuple[int, ...] = ()


class Faults:
    """The faults of one cloud; use ``cloud.service(Faults)``. Thread-safe.

    Chance is asked once for a rule that concerns a request, unless its probability is 1. After a restart it goes on
    from the last fault that struck.
    """

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._lock = threading.Lock()
        self._restore(_State.model_validate(cloud.store.get(_KIND, _KIND) or {}))

    @property
    def plan(self) -> FaultPlan:
        """The rules in force."""
        return self._plan

    def replace(self, plan: FaultPlan) -> None:
        """Put other rules in force, with nothing struck yet."""
        with self._lock:
            state = _State(plan=plan, strikes=(0,) * len(plan.rules))
            self._cloud.store.put(_KIND, _KIND, state.model_dump(mode="json"))
            self._restore(state)

    def strike(self, method: str, path: str) -> Fault | None:
        """The fault of this request, which is noted in the journal; None when it passes."""
        with self._lock:
            for number, fault in enumerate(self._plan.rules):
                left = fault.times is None or self._strikes[number] < fault.times
                if fault.concerns(method, path) and left and self._chance(fault):
                    self._note(number, fault, method, path)
                    return fault
        return None

    def _restore(self, state: _State) -> None:
        self._plan, self._draws, self._strikes = state.plan, state.draws, list(state.strikes)
        self._random = random.Random(state.plan.seed)  # noqa: S311 - chance of faults, nothing secret
        for _ in range(state.draws):
            self._random.random()

    def _chance(self, fault: _Fault) -> bool:
        if fault.probability == 1.0:
            return True
        self._draws += 1
        return self._random.random() < fault.probability

    def _note(self, number: int, fault: Fault, method: str, path: str) -> None:
        self._strikes[number] += 1
        state = _State(plan=self._plan, draws=self._draws, strikes=tuple(self._strikes))
        with self._cloud.store.transaction():
            self._cloud.store.put(_KIND, _KIND, state.model_dump(mode="json"))
            self._cloud.journal("fault.injected", method=method, path=path, kind=fault.kind, when=fault.when)


class FaultInjection:
    """The middleware that injects the faults."""

    def __init__(self, app: ASGIApp, cloud: Cloud) -> None:
        self._app = app
        self._faults = cloud.service(Faults)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or let it fail as a rule says."""
        fault = None
        if scope["type"] == "http" and not scope["path"].startswith(CONTROL_PATH) and self._faults.plan.rules:
            fault = await run_in_threadpool(self._faults.strike, scope["method"], scope["path"])
        if fault is None:
            await self._app(scope, receive, send)
        elif fault.when == "after":
            answer = await self._perform(scope, receive)
            await self._fail(fault, scope, receive, send, answer)
        elif isinstance(fault, SlowFault):
            # Read now: when a client gives up its unread body is lost, but a network would still deliver it.
            body = await Request(scope, receive).body()
            await asyncio.sleep(fault.seconds)
            await self._app(scope, _sent_before(body, receive), send)
        else:
            await self._fail(fault, scope, receive, send, ())

    async def _perform(self, scope: Scope, receive: Receive) -> Sequence[Message]:
        answer: list[Message] = []

        async def keep(message: Message) -> None:
            answer.append(message)

        await self._app(scope, receive, keep)
        return answer

    async def _fail(self, fault: Fault, scope: Scope, receive: Receive, send: Send, answer: Sequence[Message]) -> None:
        match fault:
            case StatusFault():
                await fault.response()(scope, receive, send)
            case ResetFault():
                await connections.reset(scope, receive)
            case SlowFault():
                await asyncio.sleep(fault.seconds)
                for message in answer:
                    await send(message)
            case HangFault():
                await _hang(fault.seconds, scope, receive)


def routes(cloud: Cloud) -> list[Route]:
    """The control routes of faults."""
    faults = cloud.service(Faults)

    def put(call: ArmCall) -> Response:
        plan = call.parsed(FaultPlan)
        faults.replace(plan)
        return JSONResponse(plan.model_dump(mode="json"))

    def delete(_: ArmCall) -> Response:
        faults.replace(FaultPlan())
        return Response(status_code=204)

    return [
        arm_route("/emulator/faults", "GET", lambda _: JSONResponse(faults.plan.model_dump(mode="json"))),
        arm_route("/emulator/faults", "PUT", put),
        arm_route("/emulator/faults", "DELETE", delete),
    ]


def _sent_before(body: bytes, receive: Receive) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return messages.pop() if messages else await receive()

    return receive_again


async def _hang(seconds: float, scope: Scope, receive: Receive) -> None:
    try:
        await asyncio.wait_for(connections.gone(receive), seconds)
    except (TimeoutError, asyncio.CancelledError):
        # Cancelled because the server stops: the client sees a reset, as when a process ends, and no answer.
        await connections.reset(scope, receive)
