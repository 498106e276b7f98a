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


def test_refused_source_is_missing_evidence() -> None:
    """A source that Azure refuses is recorded as missing evidence with the reason."""
    play = Play().with_policies(policy(**{**WITH_QUERY, "when": DRIFT_RULE}))
    play.azure.refused.add("source.read")

    decided = drifts(play, "run-1")

    assert decided.record.outcome == Outcome.RETRAIN, "the event says enough"
    assert [item.source for item in decided.evidence.missing] == ["log_analytics"]
    assert "log_analytics gave nothing: source.read: refused on request" in json.dumps(decided.record.tree)


@pytest.mark.parametrize("on_missing", ["insufficient", "hold", "error"])
def test_on_missing_sets_the_outcome(on_missing: str) -> None:
    """If the rules need evidence that was refused, `on_missing` sets the outcome."""
    sources = {"sources": [ACCURACY_QUERY], "on_missing": on_missing}
    play = Play().with_policies(policy(when=ACCURACY_RULE, evidence=sources))
    play.azure.refused.add("source.read")

    decided = drifts(play, "run-1")

    assert decided.record.outcome == on_missing
    assert play.ledger.retrainings() == []


def test_silent_source_defers() -> None:
    """A source without an answer defers the decision, and the next pass retrains once."""
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


def test_refused_source_keeps_the_others() -> None:
    """A source that Azure refuses does not keep the other sources from being read."""
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
def test_non_finite_value_is_insufficient(value: float | None) -> None:
    """A value that is no finite number is recorded as null and is insufficient evidence."""
    play = Play().with_policies(policy(**WITH_QUERY))
    play.azure.signals[MODEL] = [Signal("accuracy", value, "log_analytics", play.now, threshold=value)]

    decided = drifts(play, "run-1")

    assert decided.record.outcome == Outcome.INSUFFICIENT
    json.dumps([decided.record.evidence, decided.record.tree], allow_nan=False)
    kept = play.ledger.decision(decided.record.id)
    assert kept is not None
    assert [item["value"] for item in kept.evidence["signals"] if item["metric"] == "accuracy"] == [None]


# --- monitors that failed ---------------------------------------------------------------------------------


def test_failed_monitor_blocks() -> None:
    """A failed monitor blocks the decision, settles its events and launches nothing."""
    play = Play().with_policies(policy(**BLOCKS))
    receive(play.ledger, [failed_event(play)], play.now)
    play.wait(minutes=-1)

    decided = drifts(play, "run-1")

    assert decided.record.outcome == Outcome.BLOCKED
    assert f"{MONITOR} failed at" in decided.record.tree["sentence"]
    assert play.ledger.retrainings() == []
    assert play.azure.effects == {}
    assert play.ledger.unsettled([Cause.DRIFT, Cause.MONITOR_FAILED]) == []


def test_failed_monitor_blocks_forced_request() -> None:
    """A failed monitor blocks a forced request too."""
    play = Play().with_policies(policy(**BLOCKS))
    receive(play.ledger, [failed_event(play)], play.now)
    request_retraining(play.engine, MODEL, "request-1", "sam", "now", force=True, now=play.now)

    [decided] = decide_pending(play.engine, play.now).decided

    assert decided.record.outcome == Outcome.BLOCKED
    assert play.ledger.retrainings() == []


def test_recovered_monitor_does_not_block() -> None:
    """A monitor that has reported since its failure does not block."""
    play = Play().with_policies(policy(**BLOCKS))
    receive(play.ledger, [failed_event(play)], play.now)
    play.wait(minutes=5)

    assert drifts(play, "run-1").record.outcome == Outcome.RETRAIN


@pytest.mark.parametrize("change", [{"block_when": None}, {"monitors": ["other-drift", "price-drift-2"]}])
def test_unrelated_failure_does_not_block(change: dict[str, Any]) -> None:
    """A failure does not block without `block_when`, or if the policy does not watch the monitor."""
    play = Play().with_policies(policy(**{**BLOCKS, **change}))
    receive(play.ledger, [failed_event(play)], play.now)
    request_retraining(play.engine, MODEL, "request-1", "sam", "now", force=True, now=play.now)

    [decided] = decide_pending(play.engine, play.now).decided

    assert decided.record.outcome == Outcome.RETRAIN


def test_old_failure_does_not_block() -> None:
    """A failure older than `max_age` does not block."""
    play = Play().with_policies(policy(**BLOCKS, evidence={"max_age": "1d"}))
    receive(play.ledger, [failed_event(play)], play.now)
    play.wait(days=1, minutes=1)
    request_retraining(play.engine, MODEL, "request-1", "sam", "now", force=True, now=play.now)

    [decided] = decide_pending(play.engine, play.now).decided

    assert decided.record.outcome == Outcome.RETRAIN


# --- coalescing -------------------------------------------------------------------------------------------


def test_storm_is_coalesced() -> None:
    """All events that arrive within `coalesce` of the first are covered by one decision and one launch."""
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


def test_repeated_events_extend_no_wait() -> None:
    """Events that keep arriving do not extend the time of `coalesce`."""
    play = Play().with_policies(policy(evidence={"coalesce": "10m"}))
    for minute in range(10):
        play.receive(drift_event("run-1"), drift_event(f"run-{minute}", at=play.now))
        assert decide_pending(play.engine, play.now).decided == ()
        play.wait(minutes=1)

    assert len(decide_pending(play.engine, play.now).decided) == 1


def test_request_skips_coalescing() -> None:
    """The request of a person is decided at once, together with the drift that waits."""
    play = Play().with_policies(policy(evidence={"coalesce": "10m"}))
    play.receive(drift_event("run-1"))
    request_retraining(play.engine, MODEL, "request-1", "sam", "now", force=False, now=play.now)

    [decided] = decide_pending(play.engine, play.now).decided

    assert len(decided.record.covers) == 2


def test_coalescing_delays_no_other_policy() -> None:
    """A policy that coalesces delays no other policy on the same monitor."""
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


def test_charges_use_up_the_budget() -> None:
    """Each retraining notes its charge, and a charge above the budget is a hold."""
    play = Play().with_policies(policy(**BUDGET))
    outcomes: list[str] = []
    for index in range(3):
        outcomes.append(drifts(play, f"run-{index}").record.outcome)
        finishes(play)

    assert outcomes == [Outcome.RETRAIN, Outcome.RETRAIN, Outcome.HOLD]
    assert [item.charge for item in play.ledger.retrainings()] == [4, 4]
    assert "8 + 4 of 10 EUR" in play.ledger.decisions()[0].tree["sentence"]


def test_budget_recovers_after_its_window() -> None:
    """Charges older than the window of the budget no longer count."""
    play = Play().with_policies(policy(**BUDGET))
    for index in range(2):
        drifts(play, f"run-{index}")
        finishes(play)
    play.wait(days=30)

    assert drifts(play, "run-9").record.outcome == Outcome.RETRAIN


def test_unknown_charge_uses_up_budget() -> None:
    """A retraining without a noted charge counts as the whole budget until its window ends."""
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


def test_forced_request_keeps_the_budget() -> None:
    """A forced request cannot overdraw the budget."""
    play = Play().with_policies(policy(**BUDGET))
    for index in range(3):
        request_retraining(play.engine, MODEL, f"request-{index}", "sam", "more", force=True, now=play.now)
        decide_pending(play.engine, play.now)
        finishes(play)

    assert len(play.ledger.retrainings()) == 2


# --- other models -----------------------------------------------------------------------------------------


def test_max_concurrent_counts_other_models() -> None:
    """Open retrainings of other models count towards `max_concurrent`."""
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


def test_shared_monitor_keeps_max_concurrent() -> None:
    """An event that concerns four models starts no more retrainings than `max_concurrent`."""
    limited = {"limits": {"cooldown": "0s", "max_concurrent": 2}}
    play = Play().with_policies(*(policy(name, **limited) for name in ("a", "b", "c", "d")))
    play.receive(drift_event())

    outcomes = [decided.record.outcome for decided in decide_pending(play.engine, play.now).decided]

    assert sorted(outcomes) == [Outcome.HOLD] * 2 + [Outcome.RETRAIN] * 2
    assert len(play.azure.pipeline_runs) == 2


def test_history_is_newest_first() -> None:
    """The history lists retrainings newest first, each with its state."""
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


def test_rejection_lengthens_the_cooldown() -> None:
    """A rejected candidate lengthens the cooldown until a candidate is registered."""
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
