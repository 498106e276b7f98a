"""Connections that an application can reset, which HTTP cannot express but every network can do."""

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Final

from starlette.types import Receive, Scope
from uvicorn.protocols.http.h11_impl import H11Protocol

_RESET: Final = "reset_connection"
# struct linger: on, with no time to send the rest. Closing a socket then resets it instead of ending it in order.
_NO_LINGER: Final = struct.pack("ii", 1, 0)


class ResettableProtocol(H11Protocol):
    """uvicorn's HTTP protocol, which also lets the application of a request reset its connection.

    It travels in the scope's ``state``, since ASGI has no extension for it: an application that raises gets a 500.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Take the connection over."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, _RESET: self._reset}

    def _reset(self) -> None:
        connection: socket.socket = self.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.transport.abort()


async def reset(scope: Scope, receive: Receive) -> None:
    """Reset the connection of a request, which must not have been answered; returns when it is gone."""
    reset_connection: Callable[[], None] = scope["state"][_RESET]
    reset_connection()
    await gone(receive)


async def gone(receive: Receive) -> None:
    """Return when the client of a request is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
