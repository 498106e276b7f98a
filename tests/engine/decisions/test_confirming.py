"""No event starts compute on its word alone: what would start a training is looked up in Azure first."""

from dataclasses import replace
from datetime import timedelta

import pytest
from msgspec import structs

from anew.core.decisions.decision import Outcome
from anew.core.events.event import Drift, Event
from anew.core.policies.policy import Policy
from anew.engine.base.context import Timing
from anew.engine.base.ledger import Source
from anew.engine.decisions.decide_pending import decide_pending
from anew.engine.decisions.request import request_retraining
from tests.builders import ACCURACY_QUERY, ACCURACY_RULE, MODEL, Play, accuracy, drift_event, policy

WITHIN = Timing().confirm_within


def forged(play: Play, *events: Event) -> None:
    """The webhook took these in, and Azure knows nothing of them."""
    play.azure.forged |= {event.key for event in events}
    play.receive(*events)


def test_forged_event_starts_nothing() -> None:
    """Drift that Azure never confirms is insufficient evidence and starts no run."""
    play = Play()
    forged(play, drift_event())

    for _ in range(30):
        play.tick()

    assert play.azure.pipeline_runs == {}
    [decision] = play.ledger.decisions()
    assert decision.outcome == Outcome.INSUFFICIENT
    assert "Azure knows nothing of what event-drift-1 claims" in str(decision.tree)


def test_unconfirmed_event_waits() -> None:
    """An event that Azure does not know yet waits, and retrains once Azure confirms it."""
    play = Play()
    forged(play, drift_event())

    report = decide_pending(play.engine, play.now)
    assert report.waiting == (MODEL,)
    play.azure.forged.clear()
    play.tick(minutes=3)

    assert play.retraining.external_run_id is not None


def test_confirmation_has_a_deadline() -> None:
    """An unconfirmed event is decided as soon as the time that Azure may need is over."""
    play = Play()
    forged(play, drift_event())

    decide_pending(play.engine, play.now + WITHIN - timedelta(seconds=1))
    assert play.ledger.decisions() == []
    decide_pending(play.engine, play.now + WITHIN)

    assert len(play.ledger.decisions()) == 1


def test_forged_events_are_left_out() -> None:
    """Forged events beside a real one neither stop the retraining nor count as evidence."""
    play = Play()
    play.receive(drift_event("real", value=0.5))
    forged(play, *(drift_event(f"forged-{number}", value=0.9) for number in range(20)))

    decide_pending(play.engine, play.now)

    [decision] = play.ledger.decisions()
    assert decision.outcome == Outcome.RETRAIN
    assert [signal["value"] for signal in decision.evidence["signals"]] == [0.5]


def test_confirmed_value_counts() -> None:
    """The drift value that Azure confirms counts, not the value in the event."""
    play = Play()
    claimed = drift_event(value=0.9)
    told = structs.replace(claimed, drift=Drift(monitor="price-drift", coefficient=0.1))
    play.engine = replace(play.engine, missed=Tells({claimed.key: told}))
    play.receive(claimed)

    decide_pending(play.engine, play.now)

    [decision] = play.ledger.decisions()
    assert decision.outcome == Outcome.HOLD


def test_storm_costs_one_confirmation() -> None:
    """A storm of 1000 events about one model costs one confirmation and one launch."""
    play = Play()
    play.receive(*(drift_event(f"run-{number}") for number in range(1000)))

    decide_pending(play.engine, play.now)

    assert play.azure.calls.count("missed.confirm") == 1
    assert len(play.azure.pipeline_runs) == 1
    assert len(play.ledger.decisions()) == 1


def test_models_are_confirmed_together() -> None:
    """The drift of many models is confirmed in one call."""
    documents = [policy(f"model-{number}", monitors=[f"monitor-{number}"]) for number in range(50)]
    play = Play().with_policies(*documents)
    play.receive(*(drift_event(f"run-{number}", monitor=f"monitor-{number}") for number in range(50)))

    decide_pending(play.engine, play.now)

    assert play.azure.calls.count("missed.confirm") == 1
    assert len(play.azure.pipeline_runs) == 50


@pytest.mark.parametrize("call", ["missed.confirm"])
def test_failed_confirmation_is_retried(call: str) -> None:
    """A failed confirmation starts nothing, and the next pass retrains."""
    play = Play()
    play.azure.down.add(call)
    play.receive(drift_event())

    report = decide_pending(play.engine, play.now)
    assert len(report.deferred) == 1
    assert play.azure.pipeline_runs == {}
    play.azure.down.clear()
    decide_pending(play.engine, play.now)

    assert len(play.azure.pipeline_runs) == 1


def test_reconciled_event_needs_no_confirmation() -> None:
    """An event that reconciliation found needs no second confirmation."""
    play = Play()
    play.ledger.receive([drift_event()], Source.RECONCILE, play.now)

    decide_pending(play.engine, play.now)

    assert "missed.confirm" not in play.azure.calls
    assert len(play.azure.pipeline_runs) == 1


def test_hold_costs_no_confirmation() -> None:
    """A decision to hold costs no confirmation call."""
    play = Play()
    play.receive(drift_event(value=0.1))

    decide_pending(play.engine, play.now)

    assert "missed.confirm" not in play.azure.calls
    assert play.ledger.decisions()[0].outcome == Outcome.HOLD


def test_forced_request_needs_no_confirmation() -> None:
    """A forced request retrains without any confirmed drift."""
    play = Play()
    request_retraining(play.engine, MODEL, "request-1", "sam", "new data", force=True, now=play.now)

    decide_pending(play.engine, play.now)

    assert len(play.azure.pipeline_runs) == 1


def test_measured_evidence_needs_no_event() -> None:
    """Evidence that `anew` measured itself retrains even if the event is forged."""
    play = Play().with_policies(measured())
    play.azure.signals[MODEL] = [accuracy(0.5, at=play.now)]
    forged(play, drift_event())

    decide_pending(play.engine, play.now)

    assert len(play.azure.pipeline_runs) == 1


def measured() -> Policy:
    return policy(when=ACCURACY_RULE, evidence={"sources": [ACCURACY_QUERY]})


class Tells:
    """What Azure tells, by key."""

    def __init__(self, told: dict[str, Event]) -> None:
        self._told = told

    def drift(self, *_: object) -> list[Event]:
        return []

    def confirm(self, *_: object) -> dict[str, Event]:
        return self._told


def test_drift_of_other_monitor_starts_nothing() -> None:
    """An event that Azure confirms only for another monitor starts nothing."""
    play = Play()
    claimed = drift_event()
    anothers = structs.replace(claimed, drift=Drift(monitor="another-monitor", coefficient=0.9))
    play.engine = replace(play.engine, missed=Tells({claimed.key: anothers}))
    play.receive(claimed)

    decide_pending(play.engine, play.now + WITHIN)

    assert play.azure.pipeline_runs == {}
