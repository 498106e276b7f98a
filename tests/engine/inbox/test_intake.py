"""Taking in: the good is kept, the rest is counted or handed back."""

from anew.adapters.ledger import SqlLedger
from anew.core.events.event import Cause, Ignored, Rejected
from anew.core.events.handling import SettledAtOnce, handling
from anew.engine.inbox.intake import receive
from tests.event_data import NOW, drift, registered, run_status


def test_mixed_batch_keeps_good_events() -> None:
    """A batch with bad elements keeps its good events and returns the rejected ones."""
    ledger = SqlLedger.in_memory()
    bad = Rejected("id is missing", {})

    result = receive(ledger, [drift("a"), bad, Ignored("unknown type", drift("x")), drift("b")], NOW)

    assert (result.stored, result.ignored, result.rejected) == (2, 1, (bad,))
    assert {entry.event.run_id for entry in ledger.unsettled({Cause.DRIFT})} == {"a", "b"}


def test_repeated_delivery_is_one_entry() -> None:
    """A repeated delivery only raises the counter."""
    ledger = SqlLedger.in_memory()

    receive(ledger, [drift("a")], NOW)
    result = receive(ledger, [drift("a"), drift("a")], NOW)

    assert (result.receipt.new, result.receipt.repeated) == (0, 2)
    assert len(ledger.entries()) == 1


def test_unhandled_cause_is_settled() -> None:
    """An event that needs no action is settled on receipt, with a sentence as its outcome."""
    ledger = SqlLedger.in_memory()

    receive(ledger, [run_status("r", "Running", Cause.RUN_PROGRESS), registered()], NOW)

    settled = {entry.cause: entry.outcome for entry in ledger.entries()}
    outcome = settled.pop(Cause.RUN_PROGRESS)
    assert handling(Cause.RUN_PROGRESS) == SettledAtOnce(outcome or "")
    assert settled == {Cause.MODEL_REGISTERED: None}


def test_ignored_elements_are_counted() -> None:
    """Ignored elements are counted by type and reason and make no entry."""
    ledger = SqlLedger.in_memory()

    receive(ledger, [Ignored("not watched", drift("a")), Ignored("not watched", drift("b"))], NOW)

    (count,) = ledger.ignored_counts()
    assert (count.type, count.reason, count.count) == (drift().type, "not watched", 2)
    assert ledger.entries() == []
