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
    play = Play()
    forged(play, drift_event())

    for _ in range(30):
        play.tick()

    assert play.azure.pipeline_runs == {}
    [decision] = play.ledger.decisions()
    assert decision.outcome == Outcome.INSUFFICIENT
    assert "Azure knows nothing of what event-drift-1 claims" in str(decision.tree)


def test_event_that_azure_does_not_know_yet_waits_for_it() -> None:
    play = Play()
    forged(play, drift_event())

    report = decide_pending(play.engine, play.now)
    assert report.waiting == (MODEL,)
    play.azure.forged.clear()
    play.tick(minutes=3)

    assert play.retraining.external_run_id is not None


def test_event_is_waited_for_no_longer_than_azure_may_need() -> None:
    play = Play()
    forged(play, drift_event())

    decide_pending(play.engine, play.now + WITHIN - timedelta(seconds=1))
    assert play.ledger.decisions() == []
    decide_pending(play.engine, play.now + WITHIN)

    assert len(play.ledger.decisions()) == 1


def test_forged_events_beside_a_real_one_change_nothing() -> None:
    play = Play()
    play.receive(drift_event("real", value=0.5))
    forged(play, *(drift_event(f"forged-{number}", value=0.9) for number in range(20)))

    decide_pending(play.engine, play.now)

    [decision] = play.ledger.decisions()
    assert decision.outcome == Outcome.RETRAIN
    assert [signal["value"] for signal in decision.evidence["signals"]] == [0.5]


def test_claim_of_more_drift_than_azure_tells_of_counts_for_what_azure_tells() -> None:
    play = Play()
    claimed = drift_event(value=0.9)
    told = structs.replace(claimed, drift=Drift(monitor="price-drift", coefficient=0.1))
    play.engine = replace(play.engine, missed=Tells({claimed.key: told}))
    play.receive(claimed)

    decide_pending(play.engine, play.now)

    [decision] = play.ledger.decisions()
    assert decision.outcome == Outcome.HOLD


def test_storm_about_one_model_is_one_look_up_and_one_launch() -> None:
    play = Play()
    play.receive(*(drift_event(f"run-{number}") for number in range(1000)))

    decide_pending(play.engine, play.now)

    assert play.azure.calls.count("missed.confirm") == 1
    assert len(play.azure.pipeline_runs) == 1
    assert len(play.ledger.decisions()) == 1


def test_many_models_are_looked_up_together() -> None:
    documents = [policy(f"model-{number}", monitors=[f"monitor-{number}"]) for number in range(50)]
    play = Play().with_policies(*documents)
    play.receive(*(drift_event(f"run-{number}", monitor=f"monitor-{number}") for number in range(50)))

    decide_pending(play.engine, play.now)

    assert play.azure.calls.count("missed.confirm") == 1
    assert len(play.azure.pipeline_runs) == 50


@pytest.mark.parametrize("call", ["missed.confirm"])
def test_azure_that_cannot_be_asked_starts_nothing_and_loses_nothing(call: str) -> None:
    play = Play()
    play.azure.down.add(call)
    play.receive(drift_event())

    report = decide_pending(play.engine, play.now)
    assert len(report.deferred) == 1
    assert play.azure.pipeline_runs == {}
    play.azure.down.clear()
    decide_pending(play.engine, play.now)

    assert len(play.azure.pipeline_runs) == 1


def test_what_reconcile_found_is_not_looked_up_again() -> None:
    play = Play()
    play.ledger.receive([drift_event()], Source.RECONCILE, play.now)

    decide_pending(play.engine, play.now)

    assert "missed.confirm" not in play.azure.calls
    assert len(play.azure.pipeline_runs) == 1


def test_hold_costs_no_look_up() -> None:
    play = Play()
    play.receive(drift_event(value=0.1))

    decide_pending(play.engine, play.now)

    assert "missed.confirm" not in play.azure.calls
    assert play.ledger.decisions()[0].outcome == Outcome.HOLD


def test_person_who_insists_is_not_asked_for_proof() -> None:
    play = Play()
    request_retraining(play.engine, MODEL, "request-1", "sam", "new data", force=True, now=play.now)

    decide_pending(play.engine, play.now)

    assert len(play.azure.pipeline_runs) == 1


def test_evidence_that_anew_measured_itself_needs_no_event_to_be_true() -> None:
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


def test_breach_of_another_model_claimed_for_this_one_starts_nothing() -> None:
    play = Play()
    claimed = drift_event()
    anothers = structs.replace(claimed, drift=Drift(monitor="another-monitor", coefficient=0.9))
    play.engine = replace(play.engine, missed=Tells({claimed.key: anothers}))
    play.receive(claimed)

    decide_pending(play.engine, play.now + WITHIN)

    assert play.azure.pipeline_runs == {}
