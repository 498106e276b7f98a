"""Lists of keys of any length: they mean those keys, and cost one round trip for hundreds of rows."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event

from anew.adapters.ledger import SqlLedger
from anew.core.events.event import Cause
from anew.engine.base.ledger import Source
from tests.builders import START, drift_event
from tests.contract.rows import record


@contextmanager
def statements() -> Generator[list[str]]:
    """The statements that engines run meanwhile."""
    run: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        run.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield run
    finally:
        event.remove(Engine, "before_cursor_execute", note)


EVENTS = [drift_event(f"run-{number}") for number in range(400)]
WITH_MANY: dict[str, Callable[[SqlLedger, int], object]] = {
    "receive": lambda ledger, count: ledger.receive(EVENTS[:count], Source.WEBHOOK, START),
    "know": lambda ledger, count: ledger.known_keys([event.key for event in EVENTS[:count]]),
    "release": lambda ledger, count: ledger.release([event.key for event in EVENTS[:count]]),
    "decide": lambda ledger, count: ledger.record_decision(
        record(str(count), covers=tuple(event.key for event in EVENTS[-count:])), None, "me"
    ),
    "find": lambda ledger, count: ledger.open_retrainings_by_job([event.key for event in EVENTS[:count]]),
}


@pytest.mark.parametrize("call", WITH_MANY)
def test_statements_do_not_grow_with_rows(ledger: SqlLedger, call: str) -> None:
    """A network's round trip is paid once for a few hundred rows, not for each."""
    with statements() as few:
        WITH_MANY[call](ledger, 2)
    with statements() as many:
        WITH_MANY[call](ledger, 399)

    assert 0 < len(many) <= len(few)


@pytest.mark.parametrize("length", [0, 1, 2, 499, 500, 501, 1000, 1001, 2049])
def test_list_of_any_length_means_its_keys(length: int, ledger: SqlLedger) -> None:
    """A list that is split into several statements loses no key, and adds none."""
    events = [drift_event(f"run-{n}") for n in range(length + 1)]
    ledger.receive(events, Source.WEBHOOK, START)
    keys = [event.key for event in events]

    ledger.settle(keys[:length], "done", START)

    assert ledger.known_keys([*keys, "never"]) == set(keys)
    assert [entry.key for entry in ledger.unsettled([Cause.DRIFT])] == keys[length:]
