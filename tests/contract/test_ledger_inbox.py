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


def test_everything_written_is_there_after_a_restart(lasting_place: Place) -> None:
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


def test_decision_that_cannot_be_recorded_leaves_nothing_behind(ledger: SqlLedger) -> None:
    ledger.receive([drift_event("1"), drift_event("2")], Source.WEBHOOK, START)
    ledger.record_decision(record("1", covers=(drift_event("1").key,)), retraining("1"), "me")
    trail = ledger.audit()

    with pytest.raises(StaleWrite):
        ledger.record_decision(record("2", covers=(drift_event("2").key,)), retraining("2"), "me")

    assert (ledger.decision("d-2"), ledger.retraining("r-2"), ledger.audit()) == (None, None, trail)
    assert [entry.key for entry in ledger.unsettled([Cause.DRIFT])] == [drift_event("2").key]


# --- 3: one row for a key ---------------------------------------------------------------------------------


def test_event_received_again_is_counted_and_not_kept_twice(ledger: SqlLedger) -> None:
    first = ledger.receive([drift_event("1"), drift_event("2")], Source.WEBHOOK, START)
    again = ledger.receive([drift_event("1"), drift_event("1"), drift_event("3")], Source.RECONCILE, START + LEASE)

    assert ((first.new, first.repeated), (again.new, again.repeated)) == ((2, 0), (1, 2))
    entry = ledger.entry(drift_event("1").key)
    assert entry is not None
    assert (entry.deliveries, entry.source, entry.received_at) == (3, Source.WEBHOOK, START)


def test_settled_event_received_again_stays_settled(ledger: SqlLedger) -> None:
    ledger.receive([drift_event()], Source.WEBHOOK, START)
    ledger.settle([drift_event().key], "done", START)

    ledger.receive([drift_event()], Source.WEBHOOK, START)

    assert ledger.lease([Cause.DRIFT], START, LEASE) == []


def test_events_of_any_number_are_kept_with_right_counts(ledger: SqlLedger) -> None:
    events = [drift_event(str(number)) for number in range(1500)]
    ledger.receive(events[:300:7], Source.WEBHOOK, START)

    receipt = ledger.receive([*events, *events[:10]], Source.WEBHOOK, START)

    assert (receipt.new, receipt.repeated) == (1457, 53)
    deliveries = {entry.event.run_id: entry.deliveries for entry in ledger.unsettled([Cause.DRIFT])}
    assert deliveries == {str(n): 1 + (n < 10) + (n < 300 and n % 7 == 0) for n in range(1500)}


def test_event_settled_when_received_keeps_its_first_outcome(ledger: SqlLedger) -> None:
    key = drift_event().key
    ledger.receive([drift_event()], Source.WEBHOOK, START, settled={key: "first"})
    ledger.receive([drift_event()], Source.WEBHOOK, START + LEASE, settled={key: "second"})

    entry = ledger.entry(key)
    assert entry is not None
    assert (entry.outcome, entry.settled_at, entry.deliveries) == ("first", START, 2)


def test_backlog_counts_what_waits_since_when_and_what_is_dead(ledger: SqlLedger) -> None:
    letters = [DeadLetter(f"x-{number}", "bad", "{}", Source.WEBHOOK, START) for number in range(3)]
    ledger.receive([drift_event("1")], Source.WEBHOOK, START - LEASE)
    ledger.receive([drift_event("2"), drift_event("3")], Source.WEBHOOK, START, dead=letters)
    ledger.settle([drift_event("1").key], "done", START)
    ledger.mark_redriven(["x-0"], START)

    assert ledger.backlog() == Backlog(waiting=2, oldest=START, dead_letters=2)


def test_event_received_by_several_at_once_is_new_to_one_of_them(lasting_place: Place) -> None:
    ledgers = [lasting_place.open() for _ in range(4)]
    barrier = Barrier(4)

    def receive(ledger: SqlLedger) -> int:
        barrier.wait()
        return ledger.receive([drift_event(str(number)) for number in range(10)], Source.WEBHOOK, START).new

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(receive, ledgers)) == 10
    assert {entry.deliveries for entry in ledgers[0].entries()} == {4}


def test_something_ignored_is_counted_by_type_and_reason(ledger: SqlLedger) -> None:
    for reason in ("not ours", "unknown", "not ours"):
        ledger.receive([], Source.WEBHOOK, START, ignored=[("Some.Type", reason)])

    assert {each.reason: each.count for each in ledger.ignored_counts()} == {"not ours": 2, "unknown": 1}


# --- 4: claims --------------------------------------------------------------------------------------------


def test_claimed_entry_is_not_given_to_another_until_the_lease_ran_out(ledger: SqlLedger) -> None:
    ledger.receive([drift_event()], Source.WEBHOOK, START)

    assert len(ledger.lease([Cause.DRIFT], START, LEASE)) == 1
    assert ledger.lease([Cause.DRIFT], START + LEASE - SECOND, LEASE) == []
    assert len(ledger.lease([Cause.DRIFT], START + LEASE + SECOND, LEASE)) == 1


def test_released_entry_can_be_claimed_at_once(ledger: SqlLedger) -> None:
    ledger.receive([drift_event()], Source.WEBHOOK, START)
    ledger.lease([Cause.DRIFT], START, LEASE)

    ledger.release([drift_event().key])

    assert len(ledger.lease([Cause.DRIFT], START, LEASE)) == 1


def test_claim_begins_with_what_was_never_tried_and_then_what_was_tried_longest_ago(ledger: SqlLedger) -> None:
    events = [drift_event(str(number)) for number in range(5)]
    ledger.receive(events, Source.WEBHOOK, START - LEASE)
    ledger.lease([Cause.DRIFT], START - LEASE, LEASE)
    ledger.release([events[0].key, events[1].key], START)
    ledger.release([events[2].key], START - SECOND)
    ledger.release([events[3].key, events[4].key])

    claimed = [ledger.lease([Cause.DRIFT], START, LEASE, limit=2) for _ in range(3)]

    assert [[entry.event.run_id for entry in some] for some in claimed] == [["3", "4"], ["2", "0"], ["1"]]


def test_claim_without_a_limit_takes_all(ledger: SqlLedger) -> None:
    ledger.receive([drift_event(str(number)) for number in range(1500)], Source.WEBHOOK, START)

    assert len(ledger.lease([Cause.DRIFT], START, LEASE)) == 1500


def test_unclaimed_tells_of_what_waits_for_a_claimant_by_cause_and_hint(ledger: SqlLedger) -> None:
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


def test_hint_is_not_noted_of_what_was_claimed_or_came_since(ledger: SqlLedger) -> None:
    events = [drift_event(str(number)) for number in range(4)]
    ledger.receive(events[:3], Source.WEBHOOK, START)
    waiting = ledger.unleased([Cause.DRIFT], START)
    ledger.lease([Cause.DRIFT], START, LEASE, limit=1)
    ledger.settle([events[1].key], "done", START)
    ledger.receive(events[3:], Source.WEBHOOK, START)

    ledger.mark_hinted(waiting, START)

    assert [entry.event.run_id for entry in ledger.entries() if entry.hinted_at] == ["2"]


def test_claim_takes_the_asked_causes_oldest_first_up_to_its_limit(ledger: SqlLedger) -> None:
    ledger.receive([registered_event("1"), *(drift_event(str(n)) for n in range(5))], Source.WEBHOOK, START)

    claimed = ledger.lease([Cause.DRIFT], START, LEASE, limit=3)

    assert [entry.event.run_id for entry in claimed] == ["0", "1", "2"]
    assert [entry.cause for entry in ledger.lease([Cause.MODEL_REGISTERED], START, LEASE)] == [Cause.MODEL_REGISTERED]


def test_two_that_claim_at_once_never_get_the_same_entry(place: Place) -> None:
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
    ledger.receive([drift_event()], Source.WEBHOOK, START)
    ledger.settle([drift_event().key], "first", START, "d-1")

    ledger.settle([drift_event().key], "second", START + LEASE)

    entry = ledger.entry("event-drift-1")
    assert entry is not None
    assert (entry.outcome, entry.settled_at, entry.subject_id) == ("first", START, "d-1")


def test_hinted_entry_remembers_when(ledger: SqlLedger) -> None:
    ledger.receive([drift_event()], Source.WEBHOOK, START)

    ledger.mark_hinted(ledger.unleased([Cause.DRIFT], START), START + LEASE)

    assert [entry.hinted_at for entry in ledger.unsettled([Cause.DRIFT])] == [START + LEASE]
