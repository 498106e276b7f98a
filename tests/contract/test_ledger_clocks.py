"""Clocks jump: what a wrong clock wrote holds nobody up when it is right again, and a small skew frees nothing."""

from datetime import timedelta

from anew.adapters.ledger import SqlLedger
from anew.core.base.token_bucket import TokenBucket
from anew.core.events.event import Cause
from anew.engine.base.ledger import Source
from tests.builders import ENDPOINT, START, drift_event
from tests.contract.rows import record, retraining

LEASE = timedelta(minutes=5)
AHEAD = timedelta(hours=10)
SKEW = timedelta(minutes=2)


def test_claim_made_by_a_clock_far_ahead_is_free_again(ledger: SqlLedger) -> None:
    ledger.receive([drift_event()], Source.WEBHOOK, START)
    ledger.lease([Cause.DRIFT], START + AHEAD, LEASE)

    assert len(ledger.lease([Cause.DRIFT], START, LEASE)) == 1


def test_claim_made_by_a_clock_a_little_ahead_stays_its_claimants(ledger: SqlLedger) -> None:
    ledger.receive([drift_event()], Source.WEBHOOK, START)
    ledger.lease([Cause.DRIFT], START + SKEW, LEASE)

    assert ledger.lease([Cause.DRIFT], START, LEASE) == []


def test_endpoint_leased_by_a_clock_far_ahead_is_free_again(ledger: SqlLedger) -> None:
    assert ledger.lease_endpoint(ENDPOINT, "one", START + AHEAD, LEASE)

    assert ledger.lease_endpoint(ENDPOINT, "other", START, LEASE)


def test_look_put_off_by_a_clock_far_ahead_is_due(ledger: SqlLedger) -> None:
    ledger.record_decision(record(), retraining(), "test")
    ledger.postpone({"r-1": START + AHEAD})

    assert [item.id for item in ledger.due_retrainings(START)] == ["r-1"]


def test_look_put_off_for_a_while_is_not_due_until_then(ledger: SqlLedger) -> None:
    ledger.record_decision(record(), retraining(), "test")
    ledger.postpone({"r-1": START + SKEW})

    assert ledger.due_retrainings(START) == []
    assert [item.id for item in ledger.due_retrainings(START + SKEW)] == ["r-1"]


def test_bucket_paused_by_a_clock_far_ahead_gives_again(ledger: SqlLedger) -> None:
    limit = TokenBucket(burst=10, per_second=1)
    ledger.pause_bucket("reads", START + AHEAD)

    wait = ledger.take_tokens("reads", 1, limit, START)

    assert ledger.take_tokens("reads", 1, limit, START + wait) == timedelta(0)
