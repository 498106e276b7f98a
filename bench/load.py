"""A load generator that is not the bottleneck: requests made beforehand, on raw asyncio sockets."""

import asyncio
import time
from collections.abc import Sequence

_HEAD = (
    "POST /events?code={secret} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    "aeg-event-type: Notification\r\nContent-Length: {length}\r\n\r\n"
)


def request(body: bytes, secret: str) -> bytes:
    """One request as it goes over the wire."""
    return _HEAD.format(secret=secret, length=len(body)).encode() + body


class _Connection(asyncio.Protocol):
    """One request at a time, and its answer."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self._answered: asyncio.Future[bytes] | None = None
        self._answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, ended, body = self._answer.partition(b"\r\n\r\n")
        if self._answered is None or self._answered.done() or not ended:
            return
        if len(body) >= int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]):
            self._answered.set_result(self._answer)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(exc or ConnectionError("the server hung up"))

    async def ask(self, sent: bytes) -> float:
        """Seconds until the answer, which must be 200."""
        self._answered, self._answer = asyncio.get_running_loop().create_future(), b""
        began = time.perf_counter()
        self.transport.write(sent)
        answer = await self._answered
        if not answer.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(answer[:300].decode())
        return time.perf_counter() - began


async def closed_loop(ports: Sequence[int], requests: Sequence[bytes], connections: int) -> float:
    """Requests a second when each connection, to one port after the other, sends its next one at once."""
    opened = [await _connect(ports[number % len(ports)]) for number in range(connections)]
    rest = iter(requests)

    async def send(connection: _Connection) -> None:
        for each in rest:
            await connection.ask(each)

    began = time.perf_counter()
    await asyncio.gather(*(send(connection) for connection in opened))
    took = time.perf_counter() - began
    _close(opened)
    return len(requests) / took


async def open_loop(port: int, requests: Sequence[bytes], rate: float, connections: int = 100) -> list[float]:
    """Seconds from when each request was due until its answer, when *rate* a second are due, whatever the answers."""
    opened = [await _connect(port) for _ in range(connections)]
    free: asyncio.Queue[_Connection] = asyncio.Queue()
    for connection in opened:
        free.put_nowait(connection)
    began = time.perf_counter()

    async def send(number: int, sent: bytes) -> float:
        connection = await free.get()
        await connection.ask(sent)
        free.put_nowait(connection)
        return time.perf_counter() - began - number / rate

    sending: list[asyncio.Task[float]] = []
    for number, each in enumerate(requests):
        if (early := began + number / rate - time.perf_counter()) > 0:
            await asyncio.sleep(early)
        sending.append(asyncio.create_task(send(number, each)))
    took = await asyncio.gather(*sending)
    _close(opened)
    return took


async def _connect(port: int) -> _Connection:
    _, connection = await asyncio.get_running_loop().create_connection(_Connection, "127.0.0.1", port)
    return connection


def _close(opened: Sequence[_Connection]) -> None:
    for connection in opened:
        connection.transport.close()
