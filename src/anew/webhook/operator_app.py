"""The operators' app, on its own port: read only, and it answers quickly even when the ledger does not."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from anew.engine.base.ledger import Ledger
from anew.errors import AnewError
from anew.webhook.health import Health

_TIMEOUT = 1.0  # seconds for the ledger to answer

logger = logging.getLogger("anew.webhook")


def create_operator_app(ledger: Ledger, health: Health, clock: Callable[[], datetime]) -> Starlette:
    """`/healthz`, `/readyz` and `/status`."""
    operator = _Operator(ledger, health, clock)
    app = Starlette(
        routes=[
            Route("/healthz", _healthz, methods=["GET"]),
            Route("/readyz", operator.readyz, methods=["GET"]),
            Route("/status", operator.status, methods=["GET"]),
        ]
    )
    app.router.redirect_slashes = False
    return app


class _Operator:
    def __init__(self, ledger: Ledger, health: Health, clock: Callable[[], datetime]) -> None:
        self._ledger = ledger
        self._health = health
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "anew-operator")
        self._asked: asyncio.Future[dict[str, Any]] | None = None

    async def readyz(self, _request: Request) -> JSONResponse:
        await self._figures()
        return JSONResponse(self._health.view(), 503 if self._health.status == "down" else 200)

    async def status(self, _request: Request) -> JSONResponse:
        figures = await self._figures()
        return JSONResponse((figures or {}) | {"health": self._health.view()}, 503 if figures is None else 200)

    async def _figures(self) -> dict[str, Any] | None:
        """The ledger's figures, None when it does not answer in time."""
        # One query at a time: a database that hangs blocks one thread, however often operators ask.
        if self._asked is None or self._asked.done():
            self._asked = asyncio.get_running_loop().run_in_executor(self._thread, self._ask)
        try:
            figures = await asyncio.wait_for(asyncio.shield(self._asked), _TIMEOUT)
        except TimeoutError:
            self._health.ledger.down(f"no answer within {_TIMEOUT:g} s")
        except AnewError as error:
            self._health.ledger.down(type(error).__name__)
        except Exception as error:
            # The operator must get an answer that says `down`, rather than no answer.
            logger.exception("the ledger cannot say how much waits")
            self._health.ledger.down(type(error).__name__)
        else:
            self._health.ledger.up()
            return figures
        return None

    def _ask(self) -> dict[str, Any]:
        now, backlog = self._clock(), self._ledger.backlog()
        return {
            "waiting": backlog.waiting,
            "oldest_waiting_seconds": None if backlog.oldest is None else (now - backlog.oldest).total_seconds(),
            "dead_letters": backlog.dead_letters,
            "open_retrainings": self._ledger.count_open_retrainings(),
        }


async def _healthz(_request: Request) -> JSONResponse:
    return JSONResponse({"status": "ok"})
