"""The Ledger port's obligations 5 to 10, about decisions, retrainings and rollouts, on every database."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from threading import Barrier

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, StatementError

from anew.adapters.ledger import SqlLedger
from anew.adapters.ledger.database import create_engine
from anew.core.events.event import Cause
from anew.core.retrainings.lifecycle import ApprovalDecision, RetrainingState
from anew.core.rollouts.lifecycle import RolloutState
from anew.core.rollouts.traffic import Share, TrafficChange
from anew.engine.base.ledger import Source
from anew.errors import StaleWrite
from tests.builders import ENDPOINT, MODEL, START, drift_event
from tests.contract.rows import record, retraining, rollout
from tests.places import Place

LEASE = timedelta(minutes=5)
SECOND = timedelta(seconds=1)


# --- 5: compare and set -----------------------------------------------------------------------------------


def test_second_writer_of_one_revision_is_refused(ledger: SqlLedger) -> None:
    ledger.record_decision(record(), retraining(), "me")
    ledger.add_rollout(rollout(), "me")
    ledger.save_retraining(retraining(), "first", "me", START, {})
    ledger.save_rollout(rollout(), "first", "me", START, {})

    with pytest.raises(StaleWrite):
        ledger.save_retraining(replace(retraining(), reason="late"), "second", "me", START, {})
    with pytest.raises(StaleWrite):
        ledger.save_rollout(replace(rollout(), reason="late"), "second", "me", START, {})

    assert "second" not in {row.what for row in ledger.audit()}


def test_of_many_writers_of_one_revision_exactly_one_wins(lasting_place: Place) -> None:
    ledgers = [lasting_place.open() for _ in range(4)]
    ledgers[0].record_decision(record(), retraining(), "me")
    barrier = Barrier(4)

    def save(ledger: SqlLedger) -> bool:
        barrier.wait()
        try:
            ledger.save_retraining(retraining(), "moved", "me", START, {})
        except StaleWrite:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(save, ledgers)) == [False, False, False, True]


# --- 6: leases of endpoints -------------------------------------------------------------------------------


def test_held_endpoint_is_nobody_elses_until_freed_or_the_lease_ran_out(ledger: SqlLedger) -> None:
    assert ledger.lease_endpoint(ENDPOINT, "one", START, LEASE)
    assert not ledger.lease_endpoint(ENDPOINT, "other", START + LEASE - SECOND, LEASE)
    assert ledger.lease_endpoint(ENDPOINT, "other", START + LEASE + SECOND, LEASE)

    ledger.free_endpoint(ENDPOINT, "other")

    assert ledger.lease_endpoint(ENDPOINT, "one", START + LEASE + SECOND, LEASE)


def test_holder_of_an_endpoint_may_lengthen_the_lease(ledger: SqlLedger) -> None:
    ledger.lease_endpoint(ENDPOINT, "one", START, LEASE)

    assert ledger.lease_endpoint(ENDPOINT, "one", START + LEASE / 2, LEASE)

    assert not ledger.lease_endpoint(ENDPOINT, "other", START + LEASE + SECOND, LEASE)


def test_endpoint_is_freed_by_its_holder_only(ledger: SqlLedger) -> None:
    ledger.lease_endpoint(ENDPOINT, "one", START, LEASE)

    ledger.free_endpoint(ENDPOINT, "other")

    assert not ledger.lease_endpoint(ENDPOINT, "other", START, LEASE)


def test_endpoints_are_held_apart(ledger: SqlLedger) -> None:
    ledger.lease_endpoint(ENDPOINT, "one", START, LEASE)

    assert ledger.lease_endpoint("another", "other", START, LEASE)


def test_endpoint_is_given_to_one_of_many_that_ask_at_once(lasting_place: Place) -> None:
    ledgers = [lasting_place.open() for _ in range(4)]
    barrier = Barrier(4)

    def take(number: int) -> bool:
        barrier.wait()
        return ledgers[number].lease_endpoint(ENDPOINT, str(number), START, LEASE)

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(take, range(4))) == 1


# --- traffic ----------------------------------------------------------------------------------------------


def change(percent: int, at: datetime = START, endpoint: str = ENDPOINT) -> TrafficChange:
    shares = (Share("price-2", percent, "price:2"), Share("price-1", 100 - percent, "price:1"))
    return TrafficChange(at, endpoint, shares, "me", "rollout of price:2", (Share("price-3", 20, None),), "o-1")


def test_change_of_traffic_comes_with_the_rollout_that_made_it(ledger: SqlLedger) -> None:
    ledger.add_rollout(rollout(), "me")

    ledger.save_rollout(rollout(), "stepped", "me", START, {}, change(20))

    assert ledger.traffic(ENDPOINT) == [change(20)]


def test_change_of_traffic_by_a_stale_writer_is_not_kept(ledger: SqlLedger) -> None:
    ledger.add_rollout(rollout(), "me")
    ledger.save_rollout(rollout(), "stepped", "me", START, {}, change(20))

    with pytest.raises(StaleWrite):
        ledger.save_rollout(rollout(), "stepped", "me", START, {}, change(50))

    assert ledger.traffic(ENDPOINT) == [change(20)]


def test_traffic_is_told_oldest_first_up_to_a_moment_and_cut_off_keeps_the_newest(ledger: SqlLedger) -> None:
    for number, percent in enumerate((5, 20, 50)):
        ledger.note_traffic(change(percent, START + number * SECOND))
    ledger.note_traffic(change(99, endpoint="another"))

    assert [each.shares[0].percent for each in ledger.traffic(ENDPOINT)] == [5, 20, 50]
    assert [each.shares[0].percent for each in ledger.traffic(ENDPOINT, START + SECOND)] == [5, 20]
    assert [each.shares[0].percent for each in ledger.traffic(ENDPOINT, limit=2)] == [20, 50]
    assert len(ledger.traffic()) == 4


def test_traffic_that_was_seen_before_is_not_noted_again(ledger: SqlLedger) -> None:
    assert ledger.note_traffic(change(5))
    assert not ledger.note_traffic(change(5, START + SECOND))
    assert ledger.note_traffic(change(20, START + SECOND))

    assert len(ledger.traffic(ENDPOINT)) == 2


def test_rollout_is_added_once(ledger: SqlLedger) -> None:
    assert ledger.add_rollout(rollout(), "me")
    assert not ledger.add_rollout(replace(rollout(), reason="again"), "me")

    assert ledger.rollouts() == [rollout()]
    assert len(ledger.audit("o-1")) == 1


# --- 7: the trail -----------------------------------------------------------------------------------------


def test_every_change_leaves_a_row_that_says_who_what_and_when(ledger: SqlLedger) -> None:
    ledger.record_decision(record(), retraining(), "decider")
    moved = replace(retraining(), state=RetrainingState.TRAINING)
    ledger.save_retraining(moved, "launched", "launcher", START + SECOND, {"at": START, "run": "run-1"})

    rows = ledger.audit("r-1")

    assert [(row.subject, row.what, row.actor, row.at) for row in rows] == [
        ("retraining", "launching", "decider", START),
        ("retraining", "launched", "launcher", START + SECOND),
    ]
    assert rows[-1].detail == {"at": str(START), "run": "run-1", "state": "training"}


@pytest.mark.parametrize("statement", ["UPDATE audit SET actor = 'forger'", "DELETE FROM audit"])
def test_database_refuses_to_change_the_trail(lasting_place: Place, statement: str) -> None:
    ledger = lasting_place.open()
    ledger.record_decision(record(), retraining(), "me")
    before = ledger.audit()
    engine = create_engine(lasting_place.url)

    with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
        connection.execute(sa.text(statement))

    engine.dispose()
    assert ledger.audit() == before


def test_trail_cut_off_by_its_limit_keeps_the_newest_in_order(ledger: SqlLedger) -> None:
    for number in range(5):
        ledger.add_rollout(rollout(str(number)), "me")

    assert [row.subject_id for row in ledger.audit(limit=2)] == ["o-3", "o-4"]


# --- 8 and 9: decisions -----------------------------------------------------------------------------------


def test_model_has_one_open_retraining_at_most(ledger: SqlLedger) -> None:
    ledger.record_decision(record("1"), retraining("1"), "me")

    with pytest.raises(StaleWrite):
        ledger.record_decision(record("2"), retraining("2"), "me")
    ledger.record_decision(record("3", model="demand"), retraining("3", model="demand"), "me")
    ledger.save_retraining(replace(retraining("1"), state=RetrainingState.FAILED), "failed", "me", START, {})
    ledger.record_decision(record("4"), retraining("4"), "me")

    assert {item.id for item in ledger.retrainings() if item.is_open} == {"r-3", "r-4"}


def test_rejected_retraining_is_not_opened_again_beside_another_one(ledger: SqlLedger) -> None:
    ledger.record_decision(record("1"), retraining("1"), "me")
    rejected = ledger.save_retraining(
        replace(retraining("1"), state=RetrainingState.REJECTED), "rejected", "me", START, {}
    )
    ledger.record_decision(record("2"), retraining("2"), "me")

    with pytest.raises(StaleWrite):
        ledger.save_retraining(replace(rejected, state=RetrainingState.REGISTERING), "forced", "me", START, {})

    assert ledger.retraining("r-1") == rejected
    assert "forced" not in {row.what for row in ledger.audit("r-1")}


def test_retraining_is_read_back_as_it_was_kept(ledger: SqlLedger) -> None:
    kept = replace(
        retraining(),
        state=RetrainingState.AWAITING_APPROVAL,
        evaluations=3,
        champion_changes=1,
        inconclusive_since=START,
        approval_deadline=START + SECOND,
        approval=ApprovalDecision.FORCED,
        approval_by="anna",
        approval_reason="why",
        training_data="rows",
        git_commit="c0ffee",
    )

    ledger.record_decision(record(), kept, "me")

    assert ledger.retraining("r-1") == kept


def test_of_many_that_decide_at_once_about_a_model_exactly_one_retrains(lasting_place: Place) -> None:
    ledgers = [lasting_place.open() for _ in range(4)]
    barrier = Barrier(4)

    def decide(numbered: tuple[int, SqlLedger]) -> bool:
        number, ledger = numbered
        barrier.wait()
        try:
            ledger.record_decision(record(str(number)), retraining(str(number)), "me")
        except StaleWrite:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(decide, enumerate(ledgers))) == 1
    assert len(ledgers[0].retrainings()) == len(ledgers[0].decisions()) == 1


def test_decision_settles_what_it_covers(ledger: SqlLedger) -> None:
    keys = (drift_event("1").key, drift_event("2").key)
    ledger.receive([drift_event("1"), drift_event("2")], Source.WEBHOOK, START)

    ledger.record_decision(record(covers=keys), None, "me")

    assert [entry.outcome for entry in ledger.entries()] == ["decision d-1: retrain"] * 2


def test_decision_settles_only_what_it_is_told_to(ledger: SqlLedger) -> None:
    keys = (drift_event("1").key, drift_event("2").key)
    ledger.receive([drift_event("1"), drift_event("2")], Source.WEBHOOK, START)

    ledger.record_decision(record(covers=keys), None, "me", keys[:1])

    assert [entry.key for entry in ledger.unsettled([Cause.DRIFT])] == [keys[1]]
    assert ledger.decisions()[0].covers == keys


def test_decision_about_what_was_settled_since_it_was_claimed_is_refused(ledger: SqlLedger) -> None:
    keys = (drift_event("1").key, drift_event("2").key)
    ledger.receive([drift_event("1"), drift_event("2")], Source.WEBHOOK, START)
    ledger.record_decision(record("1", covers=keys[1:]), None, "me")

    with pytest.raises(StaleWrite, match="another writer"):
        ledger.record_decision(record("2", covers=keys), retraining("2"), "me")

    assert [entry.key for entry in ledger.unsettled([Cause.DRIFT])] == [keys[0]]
    assert ([each.id for each in ledger.decisions()], ledger.retrainings()) == (["d-1"], [])


def test_entry_left_open_for_other_models_is_decided_once_for_each(ledger: SqlLedger) -> None:
    keys = (drift_event("1").key, drift_event("2").key)
    ledger.receive([drift_event("1"), drift_event("2")], Source.WEBHOOK, START)
    ledger.record_decision(record("1", covers=keys[:1]), None, "me", ())

    with pytest.raises(StaleWrite, match="another writer"):
        ledger.record_decision(record("2", covers=keys), retraining("2"), "me", ())
    ledger.record_decision(record("3", model="demand", covers=keys), None, "me", ())

    assert [entry.decided_for for entry in ledger.unsettled([Cause.DRIFT])] == [(MODEL, "demand"), ("demand",)]
    assert ([each.id for each in ledger.decisions(MODEL)], ledger.retrainings()) == (["d-1"], [])


# --- 10: lists --------------------------------------------------------------------------------------------


def test_list_cut_off_by_its_limit_keeps_the_newest_oldest_first(ledger: SqlLedger) -> None:
    for number in range(4):
        ledger.add_rollout(replace(rollout(str(number)), created_at=START + number * SECOND), "me")

    assert [item.id for item in ledger.rollouts(limit=2)] == ["o-2", "o-3"]


def test_lists_are_narrowed_by_state_and_model(ledger: SqlLedger) -> None:
    ledger.record_decision(record("1"), retraining("1"), "me")
    ledger.record_decision(record("2", model="demand"), retraining("2", model="demand"), "me")
    ledger.add_rollout(rollout(), "me")

    assert [item.id for item in ledger.retrainings(model="demand")] == ["r-2"]
    assert ledger.retrainings([RetrainingState.FAILED]) == []
    assert [item.id for item in ledger.rollouts([RolloutState.PENDING], MODEL)] == ["o-1"]
    assert [item.id for item in ledger.decisions("demand")] == ["d-2"]


@pytest.mark.parametrize("run", ["job-1", "evaluation-1", "run-1"])
def test_retraining_is_found_by_any_of_its_runs(ledger: SqlLedger, run: str) -> None:
    ledger.record_decision(record(), replace(retraining(), external_run_id="run-1"), "me")

    found = ledger.retraining_by_job(run)

    assert found is not None
    assert found.id == "r-1"


def test_watermark_moves(ledger: SqlLedger) -> None:
    assert ledger.watermark("here") is None

    ledger.set_watermark("here", START)
    ledger.set_watermark("here", START + SECOND)

    assert ledger.watermark("here") == START + SECOND


def test_time_without_a_zone_is_refused(ledger: SqlLedger) -> None:
    with pytest.raises(StatementError, match="aware"):
        ledger.set_watermark("here", START.replace(tzinfo=None))
