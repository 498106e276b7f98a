"""Lists of keys of any length, said in few different statements."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from anew.adapters.ledger import SqlLedger
from anew.core.events.event import Cause
from anew.engine.base.ledger import Source
from tests.builders import START, drift_event

LENGTHS = range(1, 301)


@contextmanager
def statements() -> Generator[set[str]]:
    """The different statements that engines run meanwhile."""
    said: set[str] = set()

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        said.add(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        yield said
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)


@pytest.mark.parametrize("ask", [SqlLedger.known_keys, SqlLedger.open_retrainings_by_job, SqlLedger.release])
def test_lists_of_every_length_are_said_in_few_statements(ask: Any, ledger: SqlLedger) -> None:
    with statements() as said:
        for length in LENGTHS:
            ask(ledger, [f"key-{n}" for n in range(length)])

    assert 0 < len([each for each in said if "key" in each or "job" in each]) <= 24


@pytest.mark.parametrize("length", [0, 1, 2, 4, 5, 64, 65, 256, 257, 1024, 1025, 2049])
def test_list_of_any_length_means_its_own_keys_and_no_other(length: int, ledger: SqlLedger) -> None:
    events = [drift_event(f"run-{n}") for n in range(length + 1)]
    ledger.receive(events, Source.WEBHOOK, START)
    keys = [event.key for event in events]

    ledger.settle(keys[:length], "done", START)

    assert ledger.known_keys([*keys, "never"]) == set(keys)
    assert [entry.key for entry in ledger.unsettled([Cause.DRIFT])] == keys[length:]
