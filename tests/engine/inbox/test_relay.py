"""The relay: whatever Prefect loses, waiting work gets a flow run, and never one for each event."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from anew.adapters.ledger import SqlLedger
from anew.adapters.memory.flows import MemoryFlows
from anew.core.events.event import Cause, Event
from anew.engine.base.ledger import Waiting
from anew.engine.inbox.intake import receive
from anew.engine.inbox.relay import RelayPass, relay_once
from tests.event_data import NOW, drift, manual, registered, run_status


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


class Setting:
    """A ledger that holds some events, and a Prefect in memory."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.ledger = SqlLedger.in_memory()
        self.flows = MemoryFlows()
        receive(self.ledger, events, NOW)

    def relay(self, seconds: float) -> RelayPass:
        return relay_once(self.ledger, self.flows, at(seconds))


def test_new_entry_is_hinted_once() -> None:
    """A new entry is hinted once."""
    setting = Setting([drift("a")])

    assert setting.relay(0).hinted == ("retrain",)
    assert setting.relay(1) == RelayPass()
    assert [event.run_id for event in setting.flows.hints] == ["a"]


def test_burst_becomes_one_hint() -> None:
    """A burst of entries becomes one hint."""
    setting = Setting([drift(f"run-{number}") for number in range(50)])

    setting.relay(0)

    assert len(setting.flows.hints) == 1
    assert setting.relay(1) == RelayPass()


def test_flow_is_hinted_for_its_causes() -> None:
    """Each flow gets one hint for its own causes, and settled causes give none."""
    ended = run_status("r", "Failed", Cause.RUN_FAILED)
    setting = Setting([drift("a"), ended, registered(), run_status("r", "Running", Cause.RUN_PROGRESS)])

    assert setting.relay(0).hinted == ("retrain", "promote", "deploy")
    assert len(setting.flows.hints) == 3


def test_unleased_entry_starts_a_flow() -> None:
    """An entry that no flow leases within the grace period starts a flow run."""
    setting = Setting([drift("a")])
    setting.relay(0)

    assert setting.relay(4.9).started == ()
    assert setting.relay(5).started == ("retrain",)
    assert [run.deployment for run in setting.flows.runs] == ["retrain/default"]


def test_leased_entry_is_left_alone() -> None:
    """The relay leaves leased and settled entries alone."""
    setting = Setting([drift("a"), registered()])
    setting.relay(0)
    setting.ledger.lease({Cause.DRIFT}, at(1), timedelta(minutes=1))
    setting.ledger.settle([registered().key], "done", at(1))

    assert setting.relay(30) == RelayPass()


def test_expired_lease_starts_a_flow() -> None:
    """An entry whose lease expires starts a flow run."""
    setting = Setting([drift("a")])
    setting.relay(0)
    setting.ledger.lease({Cause.DRIFT}, at(1), timedelta(minutes=1))

    assert setting.relay(60).started == ()
    assert setting.relay(61).started == ("retrain",)


def test_attempts_back_off() -> None:
    """Attempts back off to one every 300 seconds and never end, each with a new key."""
    setting = Setting([drift("a")])

    attempts = [second for second in range(0, 1600, 5) if setting.relay(second).started]

    assert attempts[:6] == [5, 10, 20, 40, 80, 160]
    assert all(later - earlier == 300 for earlier, later in pairwise(attempts[7:]))
    assert len({run.idempotency_key for run in setting.flows.runs}) == len(attempts)


def test_crashed_relay_starts_one_run() -> None:
    """A relay that crashes before it writes its mark starts no second run."""
    setting = Setting([drift("a")])
    setting.relay(0)
    before = setting.ledger.unsettled({Cause.DRIFT})

    class Forgetful(SqlLedger):
        def mark_hinted(self, hinted: Sequence[Waiting], now: datetime) -> None:
            """Crashes before the commit: nothing is written."""

    forgetful = Forgetful.in_memory()
    forgetful.receive([drift("a")], before[0].source, NOW)
    SqlLedger.mark_hinted(forgetful, forgetful.unleased([Cause.DRIFT], at(0)), at(0))
    relay_once(forgetful, setting.flows, at(6))
    relay_once(forgetful, setting.flows, at(7))

    assert len(setting.flows.runs) == 1


def test_relay_survives_prefect_outage() -> None:
    """Entries that arrive while Prefect is unavailable are hinted when it returns."""
    setting = Setting([drift("a"), registered()])
    setting.flows.down = True

    report = setting.relay(0)
    assert set(report.failed) == {"retrain", "deploy"}
    assert setting.relay(100).hinted == ()

    setting.flows.down = False
    assert setting.relay(101).hinted == ("retrain", "deploy")


def test_manual_request_starts_at_once() -> None:
    """A manual request starts a flow run at once, without a hint."""
    setting = Setting([manual()])

    assert setting.relay(0).started == ("retrain",)
    assert setting.flows.hints == []
