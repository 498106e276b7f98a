"""Group commit: what comes together is one transaction, and nobody pays for anybody else's fault."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from threading import Event as Gate
from typing import Any

import pytest

from anew.adapters.ledger import SqlLedger
from anew.core.events.event import Event, Parsed, Rejected
from anew.engine.base.ledger import Receipt
from anew.errors import LedgerUnavailable, WebhookBusy
from anew.webhook.group_commit import GroupCommit
from tests.event_data import NOW, drift


class CountingLedger(SqlLedger):
    """A ledger that notes how many events each transaction had, and waits before each until its gate is open."""

    def receive(self, events: Sequence[Event], *args: Any, **kwargs: Any) -> Receipt:
        gate.wait(10)
        sizes.append(len(events))
        if any(event.run_id == "poison" for event in events):
            raise ValueError("poison")
        if any(event.run_id == "locked" for event in events):
            raise LedgerUnavailable("locked")
        return super().receive(events, *args, **kwargs)


gate = Gate()
sizes: list[int] = []


@pytest.fixture(autouse=True)
def _open_gate() -> None:
    gate.set()
    sizes.clear()


def run(use: Callable[[GroupCommit, SqlLedger], Coroutine[Any, Any, None]], **terms: Any) -> None:
    async def main() -> None:
        ledger = CountingLedger.in_memory()
        commits = GroupCommit(ledger, lambda: NOW, **terms)
        running = asyncio.create_task(commits.run())
        try:
            await asyncio.wait_for(use(commits, ledger), 20)
        finally:
            gate.set()
            running.cancel()

    asyncio.run(main())


async def all_of(commits: GroupCommit, *requests: Sequence[Parsed]) -> list[BaseException | None]:
    return await asyncio.gather(*(commits.keep(request) for request in requests), return_exceptions=True)


def test_waiting_requests_share_a_transaction() -> None:
    """Requests that arrive during a commit share the next transaction."""

    async def use(commits: GroupCommit, ledger: SqlLedger) -> None:
        gate.clear()
        first = asyncio.create_task(commits.keep([drift("first")]))
        await asyncio.sleep(0.05)
        rest = asyncio.create_task(all_of(commits, *([drift(str(number))] for number in range(50))))
        await asyncio.sleep(0.05)
        gate.set()
        await first
        assert await rest == [None] * 50
        assert sizes == [1, 50]
        assert len(ledger.entries(100)) == 51

    run(use)


def test_answer_follows_the_commit() -> None:
    """A request is answered only after its commit."""

    async def use(commits: GroupCommit, ledger: SqlLedger) -> None:
        gate.clear()
        kept = asyncio.create_task(commits.keep([drift()]))
        done, _ = await asyncio.wait({kept}, timeout=0.1)
        assert (done, ledger.entries()) == (set(), [])
        gate.set()
        await kept
        assert len(ledger.entries()) == 1

    run(use)


def test_poisoned_request_fails_alone() -> None:
    """A poisoned request fails alone, and the others of its transaction are stored."""

    async def use(commits: GroupCommit, ledger: SqlLedger) -> None:
        outcomes = await all_of(commits, [drift("a")], [drift("poison")], [drift("b")])
        assert [type(outcome) for outcome in outcomes] == [type(None), ValueError, type(None)]
        assert {entry.event.run_id for entry in ledger.entries()} == {"a", "b"}

    run(use)


def test_locked_ledger_fails_whole_transaction() -> None:
    """A locked ledger fails a whole transaction at once, without single retries."""

    async def use(commits: GroupCommit, ledger: SqlLedger) -> None:
        outcomes = await all_of(commits, [drift("a")], [drift("locked")])
        assert [type(outcome) for outcome in outcomes] == [LedgerUnavailable] * 2
        assert sizes == [2]
        await commits.keep([drift("a")])
        assert len(ledger.entries()) == 1

    run(use)


def test_full_queue_refuses_requests() -> None:
    """A full queue refuses further requests until there is space again."""

    async def use(commits: GroupCommit, ledger: SqlLedger) -> None:
        gate.clear()
        waiting = [asyncio.create_task(commits.keep([drift(str(number))])) for number in range(3)]
        await asyncio.sleep(0.05)
        with pytest.raises(WebhookBusy):
            await commits.keep([drift("one too many")])
        gate.set()
        await asyncio.gather(*waiting)
        await commits.keep([drift("one too many")])
        assert len(ledger.entries()) == 4

    run(use, most_waiting=3)


def test_oversized_request_needs_empty_queue() -> None:
    """A request larger than the queue is accepted when the queue is empty."""

    async def use(commits: GroupCommit, ledger: SqlLedger) -> None:
        await commits.keep([drift(str(number)) for number in range(10)])
        assert len(ledger.entries()) == 10

    run(use, most_waiting=3)


def test_cancelled_sender_spares_the_others() -> None:
    """A sender that gives up does not stop the others."""

    async def use(commits: GroupCommit, ledger: SqlLedger) -> None:
        gate.clear()
        impatient = asyncio.create_task(commits.keep([drift("impatient")]))
        patient = asyncio.create_task(commits.keep([drift("patient")]))
        await asyncio.sleep(0.05)
        impatient.cancel()
        await asyncio.sleep(0)
        gate.set()
        await patient
        await commits.keep([drift("later")])
        assert {entry.event.run_id for entry in ledger.entries()} == {"impatient", "patient", "later"}

    run(use)


def test_dead_letters_are_stored() -> None:
    """A rejected event is stored as a dead letter."""

    async def use(commits: GroupCommit, ledger: SqlLedger) -> None:
        await commits.keep([Rejected("id is missing", {})])
        assert [letter.reason for letter in ledger.dead_letters()] == ["id is missing"]

    run(use)
