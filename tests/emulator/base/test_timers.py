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


def test_keys_are_called_in_the_order_of_their_moments(calls: Calls) -> None:
    now = time.time()
    for key, after in (("c", 0.15), ("a", 0.05), ("b", 0.1)):
        calls.timer.at(key, now + after)
    assert [calls.next() for _ in range(3)] == ["a", "b", "c"]
    assert time.time() >= now + 0.15


def test_hastened_key_is_called_now_and_only_once(calls: Calls) -> None:
    calls.timer.at("a", time.time() + FAR)
    calls.timer.hasten("a")
    assert calls.next() == "a"
    calls.timer.hasten("a")
    calls.timer.at("b", time.time())
    assert calls.next() == "b"


def test_later_moment_replaces_the_earlier_one(calls: Calls) -> None:
    now = time.time()
    calls.timer.at("a", now + 0.05)
    calls.timer.at("a", now + 0.2)
    assert calls.next() == "a"
    assert time.time() >= now + 0.2


def test_stopped_timer_calls_no_more(calls: Calls) -> None:
    calls.timer.at("a", time.time() + 0.05)
    calls.timer.stop()
    calls.timer.at("b", 0.0)
    calls.timer.hasten("a")
    with pytest.raises(queue.Empty):
        calls.seen.get(timeout=0.15)
