"""The Ledger port's obligations 1 to 4, about what survives, the inbox and its claims, on every database."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier

import pytest

from anew.adapters.ledger import SqlLedger
from anew.core.events.event import Cause
from anew.core.gate import GateOutcome, GateResult
from anew.engine.base.ledger import Backlog, DeadLetter, Ledger, Source
from anew.errors import StaleWrite
from tests.builders import START, drift_event, registered_event
from tests.contract.rows import record, retraining, rollout
from tests.places import Place

CONTRACT = {Ledger: (SqlLedger,)}

LEASE = timedelta(minutes=5)
SECOND = timedelta(seconds=1)


# --- 1: what was written survives -------------------------------------------------------------------------


def test_ledger_survives_a_restart(lasting_place: Place) -> None:
    """A ledger that is opened again returns everything that was written."""
    first = lasting_place.open()
    gate = GateResult(GateOutcome.PROMOTE, "better", 100, "f00d", 0.9, 0.8, 0.1, 0.05, 0.15, 0.01, 100)
    first.receive([drift_event()], Source.WEBHOOK, START)
    first.receive([], Source.WEBHOOK, START, ignored=[("Some.Type", "not ours")])
    first.record_decision(record(covers=(drift_event().key,)), retraining(), "me")
    saved = first.save_retraining(replace(retraining(), gate=gate), "passed", "me", START, {"gate": gate})
    first.add_rollout(rollout(), "me")
    first.set_watermark("here", START)
    first.close()

    second = lasting_place.open()

    [entry] = second.entries()
    assert (entry.event, entry.source, entry.received_at, entry.subject_id) == (
        drift_event(),
        Source.WEBHOOK,
        START,
        "d-1",
    )
    assert [(each.type, each.count) for each in second.ignored_counts()] == [("Some.Type", 1)]
    assert second.decision("d-1") == record(covers=(drift_event().key,))
    assert second.retraining("r-1") == saved == replace(retraining(), gate=gate, revision=1)
    assert second.rollout("o-1") == rollout()
    assert second.watermark("here") == START
    assert [row.what for row in second.audit()] == ["retrain", "launching", "passed", "pending"]


# --- 2: one transaction -----------------------------------------------------------------------------------


def test_refused_decision_writes_nothing(ledger: SqlLedger) -> None:
    """A refused decision leaves no decision, retraining or audit row, and its event stays open."""
    ledger.receive([drift_event("1"), drift_event("2")], Source.WEBHOOK, START)
    ledger.record_decision(record("1", covers=(drift_event("1").key,)), retraining("1"), "me")
    trail = ledger.audit()

    with pytest.raises(StaleWrite):
        ledger.record_decision(record("2", covers=(drift_event("2").key,)), retraining("2"), "me")

    assert (ledger.decision("d-2"), ledger.retraining("r-2"), ledger.audit()) == (None, None, trail)
    assert [entry.key for entry in ledger.unsettled([Cause.DRIFT])] == [drift_event("2").key]


# --- 3: one row for a key ---------------------------------------------------------------------------------


def test_repeated_event_is_counted(ledger: SqlLedger) -> None:
    """A repeated event only raises the counter and keeps the source and time of the first."""
    first = ledger.receive([drift_event("1"), drift_event("2")], Source.WEBHOOK, START)
    again = ledger.receive([drift_event("1"), drift_event("1"), drift_event("3")], Source.RECONCILE, START + LEASE)

    assert ((first.new, first.repeated), (again.new, again.repeated)) == ((2, 0), (1, 2))
    entry = ledger.entry(drift_event("1").key)
    assert entry is not None
    assert (entry.deliveries, entry.source, entry.received_at) == (3, Source.WEBHOOK, START)


def test_repeated_event_stays_settled(ledger: SqlLedger) -> None:
    """A settled event that is received again stays settled."""
    ledger.receive([drift_event()], Source.WEBHOOK, START)
    ledger.settle([drift_event().key], "done", START)

    ledger.receive([drift_event()], Source.WEBHOOK, START)

    assert ledger.lease([Cause.DRIFT], START, LEASE) == []


def test_large_batch_is_counted(ledger: SqlLedger) -> None:
    """A batch of 1500 new and repeated events is kept with correct counters."""
    events = [drift_event(str(number)) for number in range(1500)]
    ledger.receive(events[:300:7], Source.WEBHOOK, START)

    receipt = ledger.receive([*events, *events[:10]], Source.WEBHOOK, START)

    assert (receipt.new, receipt.repeated) == (1457, 53)
    deliveries = {entry.event.run_id: entry.deliveries for entry in ledger.unsettled([Cause.DRIFT])}
    assert deliveries == {str(n): 1 + (n < 10) + (n < 300 and n % 7 == 0) for n in range(1500)}


def test_settled_on_receipt_keeps_outcome(ledger: SqlLedger) -> None:
    """An event that is settled on receipt keeps its first outcome."""
    key = drift_event().key
    ledger.receive([drift_event()], Source.WEBHOOK, START, settled={key: "first"})
    ledger.receive([drift_event()], Source.WEBHOOK, START + LEASE, settled={key: "second"})

    entry = ledger.entry(key)
    assert entry is not None
    assert (entry.outcome, entry.settled_at, entry.deliveries) == ("first", START, 2)


def test_backlog_counts_waiting_and_dead(ledger: SqlLedger) -> None:
    """The backlog counts waiting entries and dead letters, and has the time of the oldest entry."""
    letters = [DeadLetter(f"x-{number}", "bad", "{}", Source.WEBHOOK, START) for number in range(3)]
    ledger.receive([drift_event("1")], Source.WEBHOOK, START - LEASE)
    ledger.receive([drift_event("2"), drift_event("3")], Source.WEBHOOK, START, dead=letters)
    ledger.settle([drift_event("1").key], "done", START)
    ledger.mark_redriven(["x-0"], START)

    assert ledger.backlog() == Backlog(waiting=2, oldest=START, dead_letters=2)


def test_concurrent_receipt_is_new_once(lasting_place: Place) -> None:
    """An event that several writers receive at once is new to one of them."""
    ledgers = [lasting_place.open() for _ in range(4)]
    barrier = Barrier(4)

    def receive(ledger: SqlLedger) -> int:
        barrier.wait()
        return ledger.receive([drift_event(str(number)) for number in range(10)], Source.WEBHOOK, START).new

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(receive, ledgers)) == 10
    assert {entry.deliveries for entry in ledgers[0].entries()} == {4}


def test_ignored_events_are_counted(ledger: SqlLedger) -> None:
    """Ignored events are counted by type and reason."""
    for reason in ("not ours", "unknown", "not ours"):
        ledger.receive([], Source.WEBHOOK, START, ignored=[("Some.Type", reason)])

    assert {each.reason: each.count for each in ledger.ignored_counts()} == {"not ours": 2, "unknown": 1}


# --- 4: claims --------------------------------------------------------------------------------------------


def test_leased_entry_is_exclusive(ledger: SqlLedger) -> None:
    """A leased entry is given to one worker only, until its lease expires."""
    ledger.receive([drift_event()], Source.WEBHOOK, START)

    assert len(ledger.lease([Cause.DRIFT], START, LEASE)) == 1
    assert ledger.lease([Cause.DRIFT], START + LEASE - SECOND, LEASE) == []
    assert len(ledger.lease([Cause.DRIFT], START + LEASE + SECOND, LEASE)) == 1


def test_released_entry_is_free(ledger: SqlLedger) -> None:
    """A released entry can be leased at once."""
    ledger.receive([drift_event()], Source.WEBHOOK, START)
    ledger.lease([Cause.DRIFT], START, LEASE)

    ledger.release([drift_event().key])

    assert len(ledger.lease([Cause.DRIFT], START, LEASE)) == 1


def test_lease_prefers_untried_entries(ledger: SqlLedger) -> None:
    """A lease takes untried entries first, and then those whose last attempt is oldest."""
    events = [drift_event(str(number)) for number in range(5)]
    ledger.receive(events, Source.WEBHOOK, START - LEASE)
    ledger.lease([Cause.DRIFT], START - LEASE, LEASE)
    ledger.release([events[0].key, events[1].key], START)
    ledger.release([events[2].key], START - SECOND)
    ledger.release([events[3].key, events[4].key])

    claimed = [ledger.lease([Cause.DRIFT], START, LEASE, limit=2) for _ in range(3)]

    assert [[entry.event.run_id for entry in some] for some in claimed] == [["3", "4"], ["2", "0"], ["1"]]


def test_lease_without_limit_takes_all(ledger: SqlLedger) -> None:
    """A lease without a limit takes all entries."""
    ledger.receive([drift_event(str(number)) for number in range(1500)], Source.WEBHOOK, START)

    assert len(ledger.lease([Cause.DRIFT], START, LEASE)) == 1500


def test_unleased_entries_are_grouped(ledger: SqlLedger) -> None:
    """`unleased` groups the entries without a lease by cause and hint time."""
    events = [registered_event("1"), *(drift_event(str(number)) for number in range(4))]
    ledger.receive(events[:3], Source.WEBHOOK, START)
    ledger.lease([Cause.DRIFT], START, LEASE, limit=1)
    ledger.mark_hinted(ledger.unleased(list(Cause), START), START + SECOND)
    ledger.receive(events[3:], Source.WEBHOOK, START + SECOND)

    hinted, registered, fresh = ledger.unleased(list(Cause), START + SECOND)

    assert (registered.cause, hinted.cause, fresh.cause) == (Cause.MODEL_REGISTERED, Cause.DRIFT, Cause.DRIFT)
    assert [each.hinted_at for each in (registered, hinted, fresh)] == [START + SECOND, START + SECOND, None]
    assert [each.newest_key for each in (registered, hinted, fresh)] == [events[n].key for n in (0, 2, 4)]
    assert fresh.newest == fresh.oldest + 1
    assert fresh.received_at == START + SECOND


def test_hint_marks_only_waiting_entries(ledger: SqlLedger) -> None:
    """A hint does not mark entries that were leased, settled or received since."""
    events = [drift_event(str(number)) for number in range(4)]
    ledger.receive(events[:3], Source.WEBHOOK, START)
    waiting = ledger.unleased([Cause.DRIFT], START)
    ledger.lease([Cause.DRIFT], START, LEASE, limit=1)
    ledger.settle([events[1].key], "done", START)
    ledger.receive(events[3:], Source.WEBHOOK, START)

    ledger.mark_hinted(waiting, START)

    assert [entry.event.run_id for entry in ledger.entries() if entry.hinted_at] == ["2"]


def test_lease_is_filtered_and_limited(ledger: SqlLedger) -> None:
    """A lease takes only the given causes, oldest first, up to its limit."""
    ledger.receive([registered_event("1"), *(drift_event(str(n)) for n in range(5))], Source.WEBHOOK, START)

    claimed = ledger.lease([Cause.DRIFT], START, LEASE, limit=3)

    assert [entry.event.run_id for entry in claimed] == ["0", "1", "2"]
    assert [entry.cause for entry in ledger.lease([Cause.MODEL_REGISTERED], START, LEASE)] == [Cause.MODEL_REGISTERED]


def test_concurrent_leases_do_not_overlap(place: Place) -> None:
    """Workers that lease at once never get the same entry."""
    ledgers = [place.open() for _ in range(4)]
    ledgers[0].receive([drift_event(str(number)) for number in range(40)], Source.WEBHOOK, START)
    barrier = Barrier(4)

    def claim(ledger: SqlLedger) -> list[str]:
        barrier.wait()
        return [entry.key for _ in range(5) for entry in ledger.lease([Cause.DRIFT], START, LEASE, limit=3)]

    with ThreadPoolExecutor(4) as pool:
        claimed = [key for keys in pool.map(claim, ledgers) for key in keys]

    assert len(claimed) == len(set(claimed)) == 40


def test_settled_entry_keeps_its_first_outcome(ledger: SqlLedger) -> None:
    """A settled entry keeps its first outcome."""
    ledger.receive([drift_event()], Source.WEBHOOK, START)
    ledger.settle([drift_event().key], "first", START, "d-1")

    ledger.settle([drift_event().key], "second", START + LEASE)

    entry = ledger.entry("event-drift-1")
    assert entry is not None
    assert (entry.outcome, entry.settled_at, entry.subject_id) == ("first", START, "d-1")


def test_hint_time_is_stored(ledger: SqlLedger) -> None:
    """A hinted entry stores the time of its hint."""
    ledger.receive([drift_event()], Source.WEBHOOK, START)

    ledger.mark_hinted(ledger.unleased([Cause.DRIFT], START), START + LEASE)

    assert [entry.hinted_at for entry in ledger.unsettled([Cause.DRIFT])] == [START + LEASE]
