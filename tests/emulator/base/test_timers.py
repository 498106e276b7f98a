"""The timer: each key once, in the order of the moments, and never after it stopped."""

import queue
import time
from collections.abc import Iterator

import pytest

from anew.emulator.base.timers import Timer

FAR = 3600.0


class Calls:
    """What a timer called back with."""

    def __init__(self) -> None:
        self.seen: queue.Queue[str] = queue.Queue()
        self.timer = Timer("test", self.seen.put)

    def next(self) -> str:
        return self.seen.get(timeout=5)


@pytest.fixture
def calls() -> Iterator[Calls]:
    made = Calls()
    yield made
    made.timer.stop()


def test_keys_fire_in_order(calls: Calls) -> None:
    """Keys fire in the order of their due times and not early."""
    now = time.time()
    for key, after in (("c", 0.15), ("a", 0.05), ("b", 0.1)):
        calls.timer.at(key, now + after)
    assert [calls.next() for _ in range(3)] == ["a", "b", "c"]
    assert time.time() >= now + 0.15


def test_hastened_key_fires_once(calls: Calls) -> None:
    """A hastened key fires immediately and only once."""
    calls.timer.at("a", time.time() + FAR)
    calls.timer.hasten("a")
    assert calls.next() == "a"
    calls.timer.hasten("a")
    calls.timer.at("b", time.time())
    assert calls.next() == "b"


def test_rescheduled_key_fires_later(calls: Calls) -> None:
    """A later due time replaces the earlier one of a key."""
    now = time.time()
    calls.timer.at("a", now + 0.05)
    calls.timer.at("a", now + 0.2)
    assert calls.next() == "a"
    assert time.time() >= now + 0.2


def test_stopped_timer_fires_nothing(calls: Calls) -> None:
    """A timer that was stopped fires nothing more."""
    calls.timer.at("a", time.time() + 0.05)
    calls.timer.stop()
    calls.timer.at("b", 0.0)
    calls.timer.hasten("a")
    with pytest.raises(queue.Empty):
        calls.seen.get(timeout=0.15)
