"""One thread for all waits: it calls back when the time of a key has come."""

import heapq
import threading
import time
from collections.abc import Callable


class Timer:
    """Calls back with each key once, at its time, in seconds of the Unix epoch; the callback must not block.

    A waiting key costs one entry in a heap, so ten thousand can wait.
    """

    def __init__(self, name: str, callback: Callable[[str], None]) -> None:
        self._callback = callback
        self._moments: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        self._condition = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def at(self, key: str, moment: float) -> None:
        """Call back for key at this time, which replaces an earlier one."""
        with self._condition:
            if self._stopped:
                return
            self._moments[key] = moment
            heapq.heappush(self._heap, (moment, key))
            if not self._thread.is_alive():
                self._thread.start()
            self._condition.notify()

    def hasten(self, key: str) -> None:
        """Call back for key now, if it is waiting."""
        with self._condition:
            if key in self._moments:
                self.at(key, time.time())

    def stop(self) -> None:
        """Stop all callbacks; the waiting keys are forgotten."""
        with self._condition:
            self._stopped = True
            self._condition.notify()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while (key := self._next()) is not None:
            self._callback(key)

    def _next(self) -> str | None:
        with self._condition:
            while not self._stopped:
                if not self._heap:
                    self._condition.wait()
                elif (wait := self._heap[0][0] - time.time()) > 0:
                    self._condition.wait(min(wait, threading.TIMEOUT_MAX))
                else:
                    moment, key = heapq.heappop(self._heap)
                    if self._moments.get(key) == moment:
                        del self._moments[key]
                        return key
            return None
