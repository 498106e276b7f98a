"""What a decision rests on: sources that answer or do not, monitors that failed, storms, budgets, other models."""

import json
from dataclasses import replace
from typing import Any

import pytest

from anew.core.decisions.decision import Outcome
from anew.core.events.event import Cause, Event, EventType
from anew.core.evidence.history import Attempt, AttemptState
from anew.core.evidence.signals import Signal
from anew.core.retrainings.lifecycle import RetrainingState
from anew.engine.decisions.act import Decided
from anew.engine.decisions.decide_pending import decide_pending
from anew.engine.decisions.history import history_of
from anew.engine.decisions.request import request_retraining
from anew.engine.inbox.intake import receive
from tests.builders import (
    ACCURACY_QUERY,
    ACCURACY_RULE,
    DRIFT_RULE,
    EVALUATE_JOB,
    MODEL,
    MONITOR,
    WORKSPACE,
    Play,
    accuracy,
    drift_event,
    evaluation,
    policy,
    serve,
)

BLOCKS: dict[str, Any] = {"block_when": {"kind": "monitor_failed"}, "limits": {"cooldown": "0s"}}
WITH_QUERY: dict[str, Any] = {"when": ACCURACY_RULE, "evidence": {"sources": [ACCURACY_QUERY]}}
BUDGET: dict[str, Any] = {
    "limits": {"cooldown": "0s", "budget": {"unit": "EUR", "limit": 10, "window": "30d", "per_retraining": 4}}
}


def failed_event(play: Play, run: str = "run-9", *, monitor: str = MONITOR) -> Event:
    """A run of a monitor broke."""
    return Event(
        type=EventType.RUN_STATUS_CHANGED,
        id=f"event-{run}",
        workspace=WORKSPACE,
        subject=f"experiments/{monitor}/runs/{run}",
        time=play.now,
        run_id=run,
        status="Failed",
        experiment=monitor,
        cause=Cause.MONITOR_FAILED,
    )


def drifts(play: Play, run: str, **more: Any) -> Decided:
    """Drift comes in now, and is decided about."""
    play.receive(drift_event(run, at=play.now, **more))
    [decided] = decide_pending(play.engine, play.now).decided
    return decided


def finishes(play: Play) -> None:
    """All that is under way comes to its end."""
    open_states = (RetrainingState.LAUNCHING, RetrainingState.TRAINING, RetrainingState.EVALUATING)
    play.tick_until(lambda: not play.ledger.retrainings([*open_states, RetrainingState.REGISTERING]))


# --- sources ----------------------------------------------------------------------------------------------


def test_source_that_azure_refuses_is_missing_evidence_with_its_reason() -> None:
    play = Play().with_policies(policy(**{**WITH_QUERY, "when": DRIFT_RULE}))
    play.azure.refused.add("source.read")

    decided = drifts(play, "run-1")

    assert decided.record.outcome == Outcome.RETRAIN, "the event says enough"
    assert [item.source for item in decided.evidence.missing] == ["log_analytics"]
    assert "log_analytics gave nothing: source.read: refused on request" in json.dumps(decided.record.tree)


@pytest.mark.parametrize("on_missing", ["insufficient", "hold", "error"])
def test_refused_evidence_that_the_rules_need_comes_to_what_the_policy_says(on_missing: str) -> None:
    sources = {"sources": [ACCURACY_QUERY], "on_missing": on_missing}
    play = Play().with_policies(policy(when=ACCURACY_RULE, evidence=sources))
    play.azure.refused.add("source.read")

    decided = drifts(play, "run-1")

    assert decided.record.outcome == on_missing
    assert play.ledger.retrainings() == []


def test_source_that_does_not_answer_defers_the_decision_and_loses_nothing() -> None:
    play = Play().with_policies(policy(**WITH_QUERY))
    play.azure.signals[MODEL] = [accuracy(0.5)]
    play.azure.down.add("source.read")
    play.receive(drift_event())

    report = decide_pending(play.engine, play.now)
    assert (report.decided, play.ledger.decisions()) == ((), [])
    assert report.deferred == (f"{MODEL}: source.read: no answer, on request",)
    play.azure.down.clear()
    [decided] = decide_pending(play.engine, play.now).decided

    assert decided.record.outcome == Outcome.RETRAIN
    assert play.azure.effects["run", play.retraining.id] == 1


def test_every_source_is_asked_and_one_that_is_refused_leaves_the_others() -> None:
    sources = {"sources": [ACCURACY_QUERY, {"kind": "monitor_history"}]}
    play = Play().with_policies(policy(when=ACCURACY_RULE, evidence=sources))
    other = Play()
    other.azure.refused.add("source.read")
    refused = other.engine.readers["log_analytics"]
    play.engine = replace(
        play.engine, readers={"log_analytics": refused, "monitor_history": play.engine.readers["log_analytics"]}
    )
    play.azure.signals[MODEL] = [accuracy(0.5)]

    decided = drifts(play, "run-1")

    assert decided.record.outcome == Outcome.RETRAIN
    assert [item.source for item in decided.evidence.missing] == ["log_analytics"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None])
def test_measurement_that_is_no_number_is_recorded_as_null_and_retrains_nothing(value: float | None) -> None:
    play = Play().with_policies(policy(**WITH_QUERY))
    play.azure.signals[MODEL] = [Signal("accuracy", value, "log_analytics", play.now, threshold=value)]

    decided = drifts(play, "run-1")

    assert decided.record.outcome == Outcome.INSUFFICIENT
    json.dumps([decided.record.evidence, decided.record.tree], allow_nan=False)
    kept = play.ledger.decision(decided.record.id)
    assert kept is not None
    assert [item["value"] for item in kept.evidence["signals"] if item["metric"] == "accuracy"] == [None]


# --- monitors that failed ---------------------------------------------------------------------------------


def test_monitor_that_failed_blocks_and_nothing_is_launched() -> None:
    play = Play().with_policies(policy(**BLOCKS))
    receive(play.ledger, [failed_event(play)], play.now)
    play.wait(minutes=-1)

    decided = drifts(play, "run-1")

    assert decided.record.outcome == Outcome.BLOCKED
    assert f"{MONITOR} failed at" in decided.record.tree["sentence"]
    assert play.ledger.retrainings() == []
    assert play.azure.effects == {}
    assert play.ledger.unsettled([Cause.DRIFT, Cause.MONITOR_FAILED]) == []


def test_person_who_insists_is_blocked_too() -> None:
    play = Play().with_policies(policy(**BLOCKS))
    receive(play.ledger, [failed_event(play)], play.now)
    request_retraining(play.engine, MODEL, "request-1", "sam", "now", force=True, now=play.now)

    [decided] = decide_pending(play.engine, play.now).decided

    assert decided.record.outcome == Outcome.BLOCKED
    assert play.ledger.retrainings() == []


def test_monitor_that_reported_since_it_failed_blocks_no_longer() -> None:
    play = Play().with_policies(policy(**BLOCKS))
    receive(play.ledger, [failed_event(play)], play.now)
    play.wait(minutes=5)

    assert drifts(play, "run-1").record.outcome == Outcome.RETRAIN


@pytest.mark.parametrize("change", [{"block_when": None}, {"monitors": ["other-drift", "price-drift-2"]}])
def test_failure_nobody_asked_about_or_of_another_models_monitor_blocks_nothing(change: dict[str, Any]) -> None:
    play = Play().with_policies(policy(**{**BLOCKS, **change}))
    receive(play.ledger, [failed_event(play)], play.now)
    request_retraining(play.engine, MODEL, "request-1", "sam", "now", force=True, now=play.now)

    [decided] = decide_pending(play.engine, play.now).decided

    assert decided.record.outcome == Outcome.RETRAIN


def test_failure_longer_ago_than_evidence_counts_blocks_nothing() -> None:
    play = Play().with_policies(policy(**BLOCKS, evidence={"max_age": "1d"}))
    receive(play.ledger, [failed_event(play)], play.now)
    play.wait(days=1, minutes=1)
    request_retraining(play.engine, MODEL, "request-1", "sam", "now", force=True, now=play.now)

    [decided] = decide_pending(play.engine, play.now).decided

    assert decided.record.outcome == Outcome.RETRAIN


# --- coalescing -------------------------------------------------------------------------------------------


def test_events_of_a_storm_are_waited_for_and_decided_once() -> None:
    play = Play().with_policies(policy(evidence={"coalesce": "10m"}))
    play.receive(drift_event("run-1"))
    reports = [decide_pending(play.engine, play.now)]
    for minute in range(1, 4):
        play.wait(minutes=3)
        play.receive(drift_event(f"late-{minute}", at=play.now))
        reports.append(decide_pending(play.engine, play.now))
    assert [report.waiting for report in reports] == [(MODEL,)] * 4
    assert play.ledger.decisions() == []
    assert all(entry.settled_at is None for entry in play.ledger.entries())

    play.wait(minutes=1)
    [decided] = decide_pending(play.engine, play.now).decided

    assert len(decided.record.covers) == 4
    assert all(entry.subject_id == decided.record.id for entry in play.ledger.entries())
    assert play.azure.effects["run", play.retraining.id] == 1
    assert decide_pending(play.engine, play.now).decided == ()


def test_event_that_keeps_coming_is_not_waited_for_longer() -> None:
    play = Play().with_policies(policy(evidence={"coalesce": "10m"}))
    for minute in range(10):
        play.receive(drift_event("run-1"), drift_event(f"run-{minute}", at=play.now))
        assert decide_pending(play.engine, play.now).decided == ()
        play.wait(minutes=1)

    assert len(decide_pending(play.engine, play.now).decided) == 1


def test_person_does_not_wait_for_a_storm() -> None:
    play = Play().with_policies(policy(evidence={"coalesce": "10m"}))
    play.receive(drift_event("run-1"))
    request_retraining(play.engine, MODEL, "request-1", "sam", "now", force=False, now=play.now)

    [decided] = decide_pending(play.engine, play.now).decided

    assert len(decided.record.covers) == 2


def test_patient_policy_does_not_hold_up_another_on_the_same_monitor() -> None:
    play = Play().with_policies(policy(), policy("demand", evidence={"coalesce": "10m"}))
    play.receive(drift_event())

    first = decide_pending(play.engine, play.now)
    play.wait(minutes=10)
    second = decide_pending(play.engine, play.now)

    assert [decided.record.model for decided in first.decided] == [MODEL]
    assert first.waiting == ("demand",)
    assert [decided.record.model for decided in second.decided] == ["demand"]
    assert [entry.settled_at for entry in play.ledger.entries()] == [play.now]


# --- budget -----------------------------------------------------------------------------------------------


def test_charge_is_noted_on_the_retraining_and_uses_the_budget_up() -> None:
    play = Play().with_policies(policy(**BUDGET))
    outcomes: list[str] = []
    for index in range(3):
        outcomes.append(drifts(play, f"run-{index}").record.outcome)
        finishes(play)

    assert outcomes == [Outcome.RETRAIN, Outcome.RETRAIN, Outcome.HOLD]
    assert [item.charge for item in play.ledger.retrainings()] == [4, 4]
    assert "8 + 4 of 10 EUR" in play.ledger.decisions()[0].tree["sentence"]


def test_budget_is_free_again_after_its_window() -> None:
    play = Play().with_policies(policy(**BUDGET))
    for index in range(2):
        drifts(play, f"run-{index}")
        finishes(play)
    play.wait(days=30)

    assert drifts(play, "run-9").record.outcome == Outcome.RETRAIN


def test_budget_fails_closed_for_a_charge_nobody_noted() -> None:
    play = Play()
    drifts(play, "run-1")
    finishes(play)
    assert play.retraining.charge is None, "the policy had no budget then"
    play.with_policies(policy(**BUDGET))

    decided = drifts(play, "run-2")
    play.wait(days=31)

    assert decided.record.outcome == Outcome.HOLD
    assert "cost is not known, so the budget counts as used up" in decided.record.tree["sentence"]
    assert drifts(play, "run-3").record.outcome == Outcome.RETRAIN


def test_person_who_insists_cannot_overdraw_the_budget() -> None:
    play = Play().with_policies(policy(**BUDGET))
    for index in range(3):
        request_retraining(play.engine, MODEL, f"request-{index}", "sam", "more", force=True, now=play.now)
        decide_pending(play.engine, play.now)
        finishes(play)

    assert len(play.ledger.retrainings()) == 2


# --- other models -----------------------------------------------------------------------------------------


def test_retrainings_of_other_models_count_towards_how_many_at_once() -> None:
    one_at_a_time = {"limits": {"cooldown": "0s", "max_concurrent": 1}}
    play = Play().with_policies(policy(**one_at_a_time), policy("demand", **one_at_a_time, monitors=["demand-drift"]))

    first = drifts(play, "run-1")
    second = drifts(play, "run-2", monitor="demand-drift")
    finishes(play)
    third = drifts(play, "run-3", monitor="demand-drift")

    assert [each.record.outcome for each in (first, second, third)] == [
        Outcome.RETRAIN,
        Outcome.HOLD,
        Outcome.RETRAIN,
    ]
    assert "1 retrainings of other models are under way" in second.record.tree["sentence"]


def test_one_monitor_of_many_models_starts_no_more_than_may_run_at_once() -> None:
    limited = {"limits": {"cooldown": "0s", "max_concurrent": 2}}
    play = Play().with_policies(*(policy(name, **limited) for name in ("a", "b", "c", "d")))
    play.receive(drift_event())

    outcomes = [decided.record.outcome for decided in decide_pending(play.engine, play.now).decided]

    assert sorted(outcomes) == [Outcome.HOLD] * 2 + [Outcome.RETRAIN] * 2
    assert len(play.azure.pipeline_runs) == 2


def test_history_is_newest_first_with_how_each_retraining_ended() -> None:
    play = Play().with_policies(policy(limits={"cooldown": "0s"}))
    first = drifts(play, "run-1")
    finishes(play)
    began = play.now
    second = drifts(play, "run-2")
    assert first.retraining is not None
    assert second.retraining is not None

    history = history_of(play.ledger, policy())

    assert history.attempts == (
        Attempt(second.retraining.id, began, AttemptState.OPEN),
        Attempt(first.retraining.id, first.record.decided_at, AttemptState.REGISTERED),
    )
    assert history.last_retraining_at == began
    assert history.open_elsewhere == 0
    assert history_of(play.ledger, policy("demand")).open_elsewhere == 1


def test_rejected_candidate_lengthens_the_cooldown_until_one_is_registered() -> None:
    play = Play().with_policies(policy(limits={"cooldown": "2h", "backoff_after_rejection": 3.0}))
    serve(play.azure, "1")
    outcomes: list[str] = []
    for hours, better in ((0, 10), (5, 0), (1, 190), (1, 0), (1, 0)):
        play.wait(hours=hours)
        play.azure.endings[EVALUATE_JOB] = evaluation(better=better, worse=90)
        outcomes.append(drifts(play, f"run-{len(outcomes)}").record.outcome)
        began = play.now
        finishes(play)
        play.now = began

    ended = [item.state for item in play.ledger.retrainings()]
    assert ended == [RetrainingState.REJECTED, RetrainingState.REGISTERED, RetrainingState.REJECTED]
    assert outcomes == [Outcome.RETRAIN, Outcome.HOLD, Outcome.RETRAIN, Outcome.HOLD, Outcome.RETRAIN]
