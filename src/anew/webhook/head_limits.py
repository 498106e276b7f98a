"""Limits for the head of a request: uvicorn limits how long a connection idles, but not how slowly a request begins."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS = 20.0  # for the head of a request to arrive, or for the next one to begin
MOST_HEAD = 65_536  # bytes


class HeadLimitsProtocol(HttpToolsProtocol):
    """Closes a connection when the head of its next request takes too long to arrive, or is too long."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = 0
        self._seen: object = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # pyright: ignore[reportArgumentType]
        self._check_later()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        awaited = self._awaits_head
        super().data_received(data)
        if not awaited or not self._awaits_head:
            self._head_bytes = 0
            return
        self._head_bytes += len(data)
        if self._head_bytes > MOST_HEAD:
            self.transport.close()

    @property
    def _awaits_head(self) -> bool:
        return not self.cycle or self.cycle.response_complete

    def _check_later(self) -> None:
        self._timer = self.loop.call_later(HEAD_SECONDS, self._check)

    def _check(self) -> None:
        # The same request as at the last check, and answered: no whole head has arrived in between.
        if self._awaits_head and self.cycle is self._seen:
            self.transport.close()
            return
        self._seen = self.cycle
        self._check_later()
