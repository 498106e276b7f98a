"""The document store: what is written together, what its mirrors show, and how its logs are read."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anew.emulator.base.state import DocumentStore


@pytest.fixture
def store(tmp_path: Path) -> DocumentStore:
    return DocumentStore(tmp_path / "state.db")


def test_failed_transaction_writes_nothing(store: DocumentStore) -> None:
    """A transaction that raises writes nothing and calls no hook."""
    calls: list[str] = []

    def work() -> None:
        store.put("k", "a", {"n": 1})
        store.append("log", {})
        store.after_commit(lambda: calls.append("called"))

    _lose(store, work)

    assert (store.list("k"), store.list("log"), calls) == ([], [], [])


def test_inner_transaction_joins_the_outer(store: DocumentStore) -> None:
    """An inner transaction is part of the outer one and is rolled back with it."""

    def work() -> None:
        with store.transaction():
            store.put("k", "a", {"n": 1})

    _lose(store, work)

    assert store.get("k", "a") is None


def test_hook_runs_after_commit_unlocked(store: DocumentStore) -> None:
    """A hook runs after the commit and without the lock of the store."""
    seen: list[Any] = []

    def read_from_another_thread() -> None:
        reader = threading.Thread(target=lambda: seen.append(store.get("k", "a")))
        reader.start()
        reader.join(5)

    with store.transaction():
        store.put("k", "a", {"n": 1})
        store.after_commit(read_from_another_thread)
        assert seen == []
    assert seen == [{"n": 1}]


def test_hook_without_transaction_runs_immediately(store: DocumentStore) -> None:
    """A hook outside any transaction runs immediately."""
    calls: list[int] = []
    store.after_commit(lambda: calls.append(1))
    assert calls == [1]


_KEYS = st.sampled_from(["a/1", "A/1", "a/2", "b/1"])
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), _KEYS, st.integers()),
        st.tuples(st.just("create"), _KEYS, st.integers()),
        st.tuples(st.just("delete"), _KEYS, st.just(0)),
    ),
    max_size=20,
)


@given(before=_STEPS, steps=_STEPS, lost=_STEPS)
@settings(max_examples=50)
def test_mirror_equals_the_store(tmp_path_factory: pytest.TempPathFactory, before: Any, steps: Any, lost: Any) -> None:
    """A mirror always shows what the store has, even after a transaction is rolled back."""
    store = DocumentStore(tmp_path_factory.mktemp("mirror") / "state.db")
    _take(store, before)
    mirror = store.mirror("k", lambda document: {"n": document["n"]})
    _take(store, steps)
    _lose(store, lambda: _take(store, lost))

    assert [*mirror.within("A"), *mirror.within("b")] == [*store.list("k", "a/"), *store.list("k", "b/")]
    assert sorted(each["n"] for each in mirror.all()) == sorted(each["n"] for each in store.list("k"))
    assert mirror.get("B/1") == store.get("k", "b/1")
    store.close()


def _lose(store: DocumentStore, work: Callable[[], None]) -> None:
    """Do the work in a transaction that fails after it."""

    def fail() -> None:
        with store.transaction():
            work()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()


def _take(store: DocumentStore, steps: list[tuple[str, str, int]]) -> None:
    for step, key, number in steps:
        match step:
            case "delete":
                store.delete("k", key)
            case _:
                getattr(store, step)("k", key, {"n": number})


def test_prefix_matches_only_its_keys(store: DocumentStore) -> None:
    """A list by prefix has all keys below it and no neighbours."""
    for key in ("runs/a", "runs", "runs0", "runs/b/é"):
        store.put("k", key, {"key": key})
    assert [each["key"] for each in store.list("k", "Runs/")] == ["runs/a", "runs/b/é"]


def test_log_is_read_after_number(store: DocumentStore) -> None:
    """A log is read from the row after a given number."""
    for number in range(5):
        store.append("log", {"n": number})
    assert store.appended("log", 2) == [(3, {"n": 3}), (4, {"n": 4})]
    assert [number for number, _ in store.appended("log")] == [0, 1, 2, 3, 4]
    assert store.appended("log", 4) == []


def test_concurrent_appends_have_distinct_numbers(store: DocumentStore) -> None:
    """Concurrent appends get consecutive and distinct numbers."""

    def append() -> None:
        for _ in range(50):
            store.append("log", {})

    threads = [threading.Thread(target=append) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [number for number, _ in store.appended("log")] == list(range(200))


def test_batched_rows_are_consecutive(store: DocumentStore) -> None:
    """Rows that are appended together have consecutive numbers."""
    store.append("log", {"n": 0})
    store.append_all("log", ({"n": number} for number in range(1, 4)))
    store.append_all("log", [])
    store.append("log", {"n": 4})

    assert [(number, body["n"]) for number, body in store.appended("log")] == [(each, each) for each in range(5)]
