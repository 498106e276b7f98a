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


def test_entry_lease_from_far_ahead_ends(ledger: SqlLedger) -> None:
    """A lease of an entry, taken by a clock that was hours ahead, does not last."""
    ledger.receive([drift_event()], Source.WEBHOOK, START)
    ledger.lease([Cause.DRIFT], START + AHEAD, LEASE)

    assert len(ledger.lease([Cause.DRIFT], START, LEASE)) == 1


def test_small_clock_skew_keeps_lease(ledger: SqlLedger) -> None:
    """A clock that is a little ahead keeps the lease it took."""
    ledger.receive([drift_event()], Source.WEBHOOK, START)
    ledger.lease([Cause.DRIFT], START + SKEW, LEASE)

    assert ledger.lease([Cause.DRIFT], START, LEASE) == []


def test_endpoint_lease_from_far_ahead_ends(ledger: SqlLedger) -> None:
    """A lease of an endpoint, taken by a clock that was hours ahead, does not last."""
    assert ledger.lease_endpoint(ENDPOINT, "one", START + AHEAD, LEASE)

    assert ledger.lease_endpoint(ENDPOINT, "other", START, LEASE)


def test_far_postponed_poll_is_due(ledger: SqlLedger) -> None:
    """A poll that a clock hours ahead postponed is due now."""
    ledger.record_decision(record(), retraining(), "test")
    ledger.postpone({"r-1": START + AHEAD})

    assert [item.id for item in ledger.due_retrainings(START)] == ["r-1"]


def test_postponed_poll_is_due_then(ledger: SqlLedger) -> None:
    """A poll that is postponed for a while is due at that time and not before."""
    ledger.record_decision(record(), retraining(), "test")
    ledger.postpone({"r-1": START + SKEW})

    assert ledger.due_retrainings(START) == []
    assert [item.id for item in ledger.due_retrainings(START + SKEW)] == ["r-1"]


def test_bucket_paused_far_ahead_recovers(ledger: SqlLedger) -> None:
    """A token bucket that a clock hours ahead paused gives tokens again."""
    limit = TokenBucket(burst=10, per_second=1)
    ledger.pause_bucket("reads", START + AHEAD)

    wait = ledger.take_tokens("reads", 1, limit, START)

    assert ledger.take_tokens("reads", 1, limit, START + wait) == timedelta(0)
