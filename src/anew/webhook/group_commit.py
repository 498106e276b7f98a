"""Requests that arrive together are committed together, so that they share one wait for the disk."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import chain

from anew.core.events.event import Parsed
from anew.engine.base.ledger import Ledger
from anew.engine.inbox.intake import receive
from anew.errors import AnewError, WebhookBusy

MOST_WAITING = 20_000  # elements
_GROUP = 5000  # elements in one transaction, unless one request alone has more

logger = logging.getLogger("anew.webhook")


@dataclass(frozen=True, slots=True)
class _Waiting:
    elements: Sequence[Parsed]
    kept: asyncio.Future[None]


class GroupCommit:
    """Stores the events of requests, one transaction after another. For one event loop; `run` must be running."""

    def __init__(
        self,
        ledger: Ledger,
        clock: Callable[[], datetime],
        *,
        most_waiting: int = MOST_WAITING,
        committed: Callable[[], None] = lambda: None,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._most_waiting = most_waiting
        self._committed = committed
        self._waiting: deque[_Waiting] = deque()
        self._elements = 0  # waiting, or being stored
        self._arrived = asyncio.Event()

    async def keep(self, elements: Sequence[Parsed]) -> None:
        """Return when *elements* survive a crash. Raises WebhookBusy, LedgerUnavailable, or what the ledger raised."""
        if self._elements and self._elements + len(elements) > self._most_waiting:
            raise WebhookBusy(f"{self._elements} events are waiting to be stored")
        waiting = _Waiting(elements, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._elements += len(elements)
        self._arrived.set()
        await waiting.kept

    async def run(self) -> None:
        """Store what arrives until cancelled."""
        # Its own thread: it must not queue behind other work that hangs on the ledger's database.
        thread = ThreadPoolExecutor(1, "anew-commit")
        try:
            while True:
                await self._arrived.wait()
                await self._store_next(thread)
        finally:
            thread.shutdown(wait=False, cancel_futures=True)

    async def _store_next(self, thread: ThreadPoolExecutor) -> None:
        group = self._next_group()
        requests = [waiting.elements for waiting in group]
        outcomes = await asyncio.get_running_loop().run_in_executor(thread, self._store, requests)
        self._elements -= sum(map(len, requests))
        for waiting, error in zip(group, outcomes, strict=True):
            if waiting.kept.done():  # it took too long, and the sender was asked to try again
                continue
            if error is None:
                waiting.kept.set_result(None)
            else:
                waiting.kept.set_exception(error)
        if None in outcomes:
            self._committed()

    def _next_group(self) -> list[_Waiting]:
        group: list[_Waiting] = []
        elements = 0
        while self._waiting and (not group or elements + len(self._waiting[0].elements) <= _GROUP):
            group.append(self._waiting.popleft())
            elements += len(group[-1].elements)
        if not self._waiting:
            self._arrived.clear()
        return group

    def _store(self, requests: Sequence[Sequence[Parsed]]) -> list[Exception | None]:
        """For each request its error, or None."""
        try:
            receive(self._ledger, chain.from_iterable(requests), self._clock())
        except AnewError as error:
            return [error] * len(requests)
        except Exception as error:
            if len(requests) == 1:
                logger.exception("a request could not be stored")
                return [error]
            # One request is to blame, and the others must still be stored.
            return [outcome for request in requests for outcome in self._store([request])]
        return [None] * len(requests)
