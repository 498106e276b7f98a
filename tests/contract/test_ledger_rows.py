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


def test_stale_revision_is_refused(ledger: SqlLedger) -> None:
    """A second write of the same revision of a retraining or rollout is refused."""
    ledger.record_decision(record(), retraining(), "me")
    ledger.add_rollout(rollout(), "me")
    ledger.save_retraining(retraining(), "first", "me", START, {})
    ledger.save_rollout(rollout(), "first", "me", START, {})

    with pytest.raises(StaleWrite):
        ledger.save_retraining(replace(retraining(), reason="late"), "second", "me", START, {})
    with pytest.raises(StaleWrite):
        ledger.save_rollout(replace(rollout(), reason="late"), "second", "me", START, {})

    assert "second" not in {row.what for row in ledger.audit()}


def test_concurrent_writes_have_one_winner(lasting_place: Place) -> None:
    """Of many concurrent writes of one revision exactly one succeeds."""
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


def test_leased_endpoint_is_exclusive(ledger: SqlLedger) -> None:
    """A leased endpoint stays with its holder until it is freed or the lease expires."""
    assert ledger.lease_endpoint(ENDPOINT, "one", START, LEASE)
    assert not ledger.lease_endpoint(ENDPOINT, "other", START + LEASE - SECOND, LEASE)
    assert ledger.lease_endpoint(ENDPOINT, "other", START + LEASE + SECOND, LEASE)

    ledger.free_endpoint(ENDPOINT, "other")

    assert ledger.lease_endpoint(ENDPOINT, "one", START + LEASE + SECOND, LEASE)


def test_endpoint_lease_can_be_renewed(ledger: SqlLedger) -> None:
    """The holder of the lease of an endpoint may renew it."""
    ledger.lease_endpoint(ENDPOINT, "one", START, LEASE)

    assert ledger.lease_endpoint(ENDPOINT, "one", START + LEASE / 2, LEASE)

    assert not ledger.lease_endpoint(ENDPOINT, "other", START + LEASE + SECOND, LEASE)


def test_only_the_holder_frees(ledger: SqlLedger) -> None:
    """Only the holder of the lease frees an endpoint."""
    ledger.lease_endpoint(ENDPOINT, "one", START, LEASE)

    ledger.free_endpoint(ENDPOINT, "other")

    assert not ledger.lease_endpoint(ENDPOINT, "other", START, LEASE)


def test_endpoint_leases_are_independent(ledger: SqlLedger) -> None:
    """The lease of one endpoint does not affect another endpoint."""
    ledger.lease_endpoint(ENDPOINT, "one", START, LEASE)

    assert ledger.lease_endpoint("another", "other", START, LEASE)


def test_concurrent_endpoint_leases(lasting_place: Place) -> None:
    """Of many concurrent requests for the lease of an endpoint exactly one succeeds."""
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


def test_rollout_saves_traffic_change(ledger: SqlLedger) -> None:
    """A traffic change is saved with the rollout that made it."""
    ledger.add_rollout(rollout(), "me")

    ledger.save_rollout(rollout(), "stepped", "me", START, {}, change(20))

    assert ledger.traffic(ENDPOINT) == [change(20)]


def test_stale_traffic_change_is_dropped(ledger: SqlLedger) -> None:
    """A refused write of a rollout saves no traffic change."""
    ledger.add_rollout(rollout(), "me")
    ledger.save_rollout(rollout(), "stepped", "me", START, {}, change(20))

    with pytest.raises(StaleWrite):
        ledger.save_rollout(rollout(), "stepped", "me", START, {}, change(50))

    assert ledger.traffic(ENDPOINT) == [change(20)]


def test_traffic_is_listed_oldest_first(ledger: SqlLedger) -> None:
    """Traffic changes are listed oldest first up to a moment, and a limit keeps the newest."""
    for number, percent in enumerate((5, 20, 50)):
        ledger.note_traffic(change(percent, START + number * SECOND))
    ledger.note_traffic(change(99, endpoint="another"))

    assert [each.shares[0].percent for each in ledger.traffic(ENDPOINT)] == [5, 20, 50]
    assert [each.shares[0].percent for each in ledger.traffic(ENDPOINT, START + SECOND)] == [5, 20]
    assert [each.shares[0].percent for each in ledger.traffic(ENDPOINT, limit=2)] == [20, 50]
    assert len(ledger.traffic()) == 4


def test_unchanged_traffic_is_noted_once(ledger: SqlLedger) -> None:
    """Traffic equal to the last change is not noted again."""
    assert ledger.note_traffic(change(5))
    assert not ledger.note_traffic(change(5, START + SECOND))
    assert ledger.note_traffic(change(20, START + SECOND))

    assert len(ledger.traffic(ENDPOINT)) == 2


def test_rollout_is_added_once(ledger: SqlLedger) -> None:
    """A rollout is added once, with one audit row."""
    assert ledger.add_rollout(rollout(), "me")
    assert not ledger.add_rollout(replace(rollout(), reason="again"), "me")

    assert ledger.rollouts() == [rollout()]
    assert len(ledger.audit("o-1")) == 1


# --- 7: the trail -----------------------------------------------------------------------------------------


def test_every_change_is_audited(ledger: SqlLedger) -> None:
    """Every change leaves an audit row with its actor, action, time and detail."""
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
def test_audit_is_append_only(lasting_place: Place, statement: str) -> None:
    """The database refuses to update or delete audit rows."""
    ledger = lasting_place.open()
    ledger.record_decision(record(), retraining(), "me")
    before = ledger.audit()
    engine = create_engine(lasting_place.url)

    with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
        connection.execute(sa.text(statement))

    engine.dispose()
    assert ledger.audit() == before


def test_audit_limit_keeps_the_newest(ledger: SqlLedger) -> None:
    """A limit on the audit keeps the newest rows, in order."""
    for number in range(5):
        ledger.add_rollout(rollout(str(number)), "me")

    assert [row.subject_id for row in ledger.audit(limit=2)] == ["o-3", "o-4"]


# --- 8 and 9: decisions -----------------------------------------------------------------------------------


def test_one_open_retraining_per_model(ledger: SqlLedger) -> None:
    """A model has at most one open retraining."""
    ledger.record_decision(record("1"), retraining("1"), "me")

    with pytest.raises(StaleWrite):
        ledger.record_decision(record("2"), retraining("2"), "me")
    ledger.record_decision(record("3", model="demand"), retraining("3", model="demand"), "me")
    ledger.save_retraining(replace(retraining("1"), state=RetrainingState.FAILED), "failed", "me", START, {})
    ledger.record_decision(record("4"), retraining("4"), "me")

    assert {item.id for item in ledger.retrainings() if item.is_open} == {"r-3", "r-4"}


def test_rejected_retraining_stays_closed(ledger: SqlLedger) -> None:
    """A rejected retraining cannot be reopened while another one of the model is open."""
    ledger.record_decision(record("1"), retraining("1"), "me")
    rejected = ledger.save_retraining(
        replace(retraining("1"), state=RetrainingState.REJECTED), "rejected", "me", START, {}
    )
    ledger.record_decision(record("2"), retraining("2"), "me")

    with pytest.raises(StaleWrite):
        ledger.save_retraining(replace(rejected, state=RetrainingState.REGISTERING), "forced", "me", START, {})

    assert ledger.retraining("r-1") == rejected
    assert "forced" not in {row.what for row in ledger.audit("r-1")}


def test_retraining_is_read_back(ledger: SqlLedger) -> None:
    """A retraining is read back with all its fields."""
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


def test_concurrent_decisions_retrain_once(lasting_place: Place) -> None:
    """Of many concurrent decisions to retrain a model exactly one is recorded."""
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


def test_decision_settles_its_entries(ledger: SqlLedger) -> None:
    """A decision settles the entries it covers."""
    keys = (drift_event("1").key, drift_event("2").key)
    ledger.receive([drift_event("1"), drift_event("2")], Source.WEBHOOK, START)

    ledger.record_decision(record(covers=keys), None, "me")

    assert [entry.outcome for entry in ledger.entries()] == ["decision d-1: retrain"] * 2


def test_decision_settles_given_entries_only(ledger: SqlLedger) -> None:
    """A decision settles only the given part of the entries it covers."""
    keys = (drift_event("1").key, drift_event("2").key)
    ledger.receive([drift_event("1"), drift_event("2")], Source.WEBHOOK, START)

    ledger.record_decision(record(covers=keys), None, "me", keys[:1])

    assert [entry.key for entry in ledger.unsettled([Cause.DRIFT])] == [keys[1]]
    assert ledger.decisions()[0].covers == keys


def test_decision_on_settled_entry_is_refused(ledger: SqlLedger) -> None:
    """A decision about an entry that another writer has settled is refused whole."""
    keys = (drift_event("1").key, drift_event("2").key)
    ledger.receive([drift_event("1"), drift_event("2")], Source.WEBHOOK, START)
    ledger.record_decision(record("1", covers=keys[1:]), None, "me")

    with pytest.raises(StaleWrite, match="another writer"):
        ledger.record_decision(record("2", covers=keys), retraining("2"), "me")

    assert [entry.key for entry in ledger.unsettled([Cause.DRIFT])] == [keys[0]]
    assert ([each.id for each in ledger.decisions()], ledger.retrainings()) == (["d-1"], [])


def test_entry_is_decided_once_per_model(ledger: SqlLedger) -> None:
    """An entry that stays open for other models is decided once for each model."""
    keys = (drift_event("1").key, drift_event("2").key)
    ledger.receive([drift_event("1"), drift_event("2")], Source.WEBHOOK, START)
    ledger.record_decision(record("1", covers=keys[:1]), None, "me", ())

    with pytest.raises(StaleWrite, match="another writer"):
        ledger.record_decision(record("2", covers=keys), retraining("2"), "me", ())
    ledger.record_decision(record("3", model="demand", covers=keys), None, "me", ())

    assert [entry.decided_for for entry in ledger.unsettled([Cause.DRIFT])] == [(MODEL, "demand"), ("demand",)]
    assert ([each.id for each in ledger.decisions(MODEL)], ledger.retrainings()) == (["d-1"], [])


# --- 10: lists --------------------------------------------------------------------------------------------


def test_list_limit_keeps_the_newest(ledger: SqlLedger) -> None:
    """A limit on a list keeps the newest rows, oldest first."""
    for number in range(4):
        ledger.add_rollout(replace(rollout(str(number)), created_at=START + number * SECOND), "me")

    assert [item.id for item in ledger.rollouts(limit=2)] == ["o-2", "o-3"]


def test_lists_filter_by_state_and_model(ledger: SqlLedger) -> None:
    """Lists can be filtered by state and by model."""
    ledger.record_decision(record("1"), retraining("1"), "me")
    ledger.record_decision(record("2", model="demand"), retraining("2", model="demand"), "me")
    ledger.add_rollout(rollout(), "me")

    assert [item.id for item in ledger.retrainings(model="demand")] == ["r-2"]
    assert ledger.retrainings([RetrainingState.FAILED]) == []
    assert [item.id for item in ledger.rollouts([RolloutState.PENDING], MODEL)] == ["o-1"]
    assert [item.id for item in ledger.decisions("demand")] == ["d-2"]


@pytest.mark.parametrize("run", ["job-1", "evaluation-1", "run-1"])
def test_retraining_is_found_by_run(ledger: SqlLedger, run: str) -> None:
    """A retraining is found by its training job, evaluation job or external run."""
    ledger.record_decision(record(), replace(retraining(), external_run_id="run-1"), "me")

    found = ledger.retraining_by_job(run)

    assert found is not None
    assert found.id == "r-1"


def test_watermark_is_overwritten(ledger: SqlLedger) -> None:
    """A watermark is None until it is set, and then has the last value."""
    assert ledger.watermark("here") is None

    ledger.set_watermark("here", START)
    ledger.set_watermark("here", START + SECOND)

    assert ledger.watermark("here") == START + SECOND


def test_naive_time_is_refused(ledger: SqlLedger) -> None:
    """A time without a time zone is refused."""
    with pytest.raises(StatementError, match="aware"):
        ledger.set_watermark("here", START.replace(tzinfo=None))
