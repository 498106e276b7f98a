"""Reading request bodies into bounded memory."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from starlette.requests import Request

from anew.errors import BodyTooLarge, WebhookBusy

MOST_HELD = 64_000_000  # bytes


class Bodies:
    """The bodies of the requests under way: each at most *limit* bytes, all of them together *most_held*."""

    def __init__(self, limit: int, most_held: int = MOST_HELD) -> None:
        self._limit = limit
        self._most_held = max(limit, most_held)
        self._held = 0

    def check_length(self, content_length: str) -> None:
        """Raises BodyTooLarge if the header says so; a body without the header is counted while it is read."""
        if content_length.isdecimal() and int(content_length[:20]) > self._limit:
            raise self._too_large()

    @asynccontextmanager
    async def body(self, request: Request) -> AsyncGenerator[bytes]:
        """The body, which counts as held until the end of the block. Raises BodyTooLarge, WebhookBusy."""
        body = bytearray()
        held = 0
        try:
            async for chunk in request.stream():
                if held + len(chunk) > self._limit:
                    raise self._too_large()
                if self._held + len(chunk) > self._most_held:
                    raise WebhookBusy(f"{self._held} bytes of bodies are held")
                held += len(chunk)
                self._held += len(chunk)
                body += chunk
            yield bytes(body)
        finally:
            self._held -= held

    def _too_large(self) -> BodyTooLarge:
        return BodyTooLarge(f"the body is longer than {self._limit} bytes")
