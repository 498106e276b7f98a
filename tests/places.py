"""Where a ledger can live, and several views of one ledger, as several processes have them."""

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from anew.adapters.ledger import SqlLedger


@dataclass(frozen=True)
class Place:
    """Where a ledger lives. `open` gives one more view of the same ledger, as another process would have it."""

    url: str
    open: Callable[[], SqlLedger]


NewPlace = Callable[[], AbstractContextManager[Place]]
"""Makes an empty place, and takes it away again."""


@contextmanager
def place_at(url: str) -> Generator[Place]:
    """The ledger of this URL. What was opened is closed afterwards."""
    opened: list[SqlLedger] = []

    def open_one_more() -> SqlLedger:
        opened.append(SqlLedger.open(url))
        return opened[-1]

    yield Place(url, open_one_more)
    for ledger in opened:
        ledger.close()


@contextmanager
def place_in_memory() -> Generator[Place]:
    """A ledger in memory, of which there is one view only."""
    from tests.builders import fresh_ledger  # here, so that tests of other things need not wait for the engine

    ledger = fresh_ledger()
    yield Place("sqlite://", lambda: ledger)
    ledger.close()
