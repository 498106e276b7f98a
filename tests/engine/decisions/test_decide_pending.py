"""Histories from drift to a launched training: given what is known, when the inbox is worked, then what follows."""

from datetime import timedelta
from typing import Any

import pytest

from anew.core.decisions.decision import Outcome
from anew.core.events.event import Cause
from anew.core.retrainings.lifecycle import RetrainingState
from anew.engine.decisions.decide_pending import decide_pending
from anew.engine.decisions.request import request_retraining
from anew.errors import UnknownModel
from tests.builders import (
    ACCURACY_QUERY,
    ACCURACY_RULE,
    DRIFT_RULE,
    MODEL,
    MONITOR,
    START,
    Play,
    accuracy,
    drift_event,
    policy,
)

WITH_QUERY: dict[str, Any] = {
    "when": {"kind": "all", "rules": [DRIFT_RULE, ACCURACY_RULE]},
    "evidence": {"sources": [ACCURACY_QUERY]},
}


@pytest.mark.parametrize("size", [1000, 2500])
def test_storm_is_one_decision_and_one_launch(size: int) -> None:
    play = Play()
    play.receive(*(drift_event(f"run-{number}") for number in range(size)))

    report = decide_pending(play.engine, play.now)

    [decided] = report.decided
    assert len(decided.record.covers) == size
    assert play.azure.effects["run", play.retraining.id] == 1
    assert all(entry.subject_id == decided.record.id for entry in play.ledger.entries(limit=size))
    assert decide_pending(play.engine, play.now).decided == ()


def test_drift_below_the_threshold_is_held_with_its_reason() -> None:
    play = Play()
    play.receive(drift_event(value=0.1))

    [decided] = decide_pending(play.engine, play.now).decided

    assert decided.record.outcome == Outcome.HOLD
    assert "0.1" in decided.decision.tree.sentence
    assert play.ledger.retrainings() == []
    assert play.ledger.unsettled([Cause.DRIFT]) == []


def test_drift_within_the_cooldown_is_held() -> None:
    play = Play()
    play.receive(drift_event("run-1"))
    play.tick_until(lambda: bool(play.ledger.retrainings([RetrainingState.REGISTERED])))
    play.receive(drift_event("run-2", at=play.now))

    [decided] = decide_pending(play.engine, play.now).decided

    assert decided.record.outcome == Outcome.HOLD
    assert "cooldown" in decided.decision.tree.sentence


def test_drift_after_the_cooldown_retrains_again() -> None:
    play = Play()
    play.receive(drift_event("run-1"))
    play.tick_until(lambda: bool(play.ledger.retrainings([RetrainingState.REGISTERED])))
    play.wait(hours=25)
    play.receive(drift_event("run-2", at=play.now))

    [decided] = decide_pending(play.engine, play.now).decided

    assert decided.record.outcome == Outcome.RETRAIN
    assert len(play.ledger.retrainings()) == 2


def test_drift_that_no_policy_watches_is_settled_with_the_reason() -> None:
    play = Play()
    play.receive(drift_event(monitor="strangers-monitor"))

    report = decide_pending(play.engine, play.now)

    [entry] = play.ledger.entries()
    assert report.unwatched == (entry.key,)
    assert entry.outcome == "not decided: no policy watches strangers-monitor"
    assert play.ledger.decisions() == []


def test_monitor_that_two_policies_watch_leads_to_a_decision_for_each() -> None:
    play = Play().with_policies(policy("price"), policy("demand"))
    play.receive(drift_event())

    report = decide_pending(play.engine, play.now)

    assert sorted(decided.record.model for decided in report.decided) == ["demand", "price"]
    assert len({decided.record.id for decided in report.decided}) == 2
    assert len(play.azure.pipeline_runs) == 2
    [entry] = play.ledger.entries()
    assert entry.outcome == f"decision {report.decided[-1].record.id}: retrain"


def test_second_policy_of_a_monitor_still_decides_when_its_evidence_was_unavailable_at_first() -> None:
    play = Play().with_policies(policy("price"), policy("demand", **WITH_QUERY))
    play.azure.signals["demand"] = [accuracy(0.5)]
    play.azure.down.add("source.read")
    play.receive(drift_event())

    first = decide_pending(play.engine, play.now)
    play.azure.down.clear()
    second = decide_pending(play.engine, play.now)

    assert [decided.record.model for decided in first.decided] == ["price"]
    assert [decided.record.model for decided in second.decided] == ["demand"]
    assert [entry.settled_at for entry in play.ledger.entries()] == [play.now]
    assert len(play.ledger.decisions()) == 2


def price_is_decided_and_demand_is_not() -> Play:
    """Two policies watch one monitor, and the evidence of the second is unavailable."""
    both = policy("price", limits={"cooldown": "0s"}), policy("demand", **WITH_QUERY)
    play = Play().with_policies(*both)
    play.azure.down.add("source.read")
    play.receive(drift_event())
    decide_pending(play.engine, play.now)
    return play


def test_drift_already_decided_for_a_model_is_not_decided_again_when_the_other_policy_is_withdrawn() -> None:
    play = price_is_decided_and_demand_is_not()
    play.tick_until(lambda: not play.retraining.is_open)

    play.with_policies(policy("price", limits={"cooldown": "0s"}))
    play.tick()

    assert len(play.azure.pipeline_runs) == 1
    [entry] = play.ledger.entries()
    assert entry.outcome == "decided for price; no other policy watches it any more"


def test_pass_that_stood_still_decides_no_second_time_about_drift_that_waits_for_another_model() -> None:
    play = price_is_decided_and_demand_is_not()
    play.tick_until(lambda: not play.retraining.is_open)
    play.receive(drift_event("second", at=play.now))

    def others_take_over() -> None:
        play.now += timedelta(minutes=6)
        play.receive(drift_event("third", at=play.now))
        decide_pending(play.engine, play.now)
        play.tick_until(lambda: not play.ledger.open_retraining_of("price"))

    play.azure.stall("missed.confirm", others_take_over)
    decide_pending(play.engine, play.now)

    assert [record.model for record in play.ledger.decisions()] == ["price", "price"]
    assert len(play.azure.pipeline_runs) == 2


def test_forced_request_retrains_in_spite_of_rules_and_cooldown() -> None:
    play = Play()
    request_retraining(play.engine, MODEL, "request-1", "sam", "new labels", force=True, now=play.now)

    [decided] = decide_pending(play.engine, play.now).decided

    assert decided.record.outcome == Outcome.RETRAIN
    assert "sam" in decided.decision.tree.sentence
    assert "new labels" in decided.decision.tree.sentence


def test_forced_request_is_held_while_another_retraining_is_open() -> None:
    play = Play()
    play.receive(drift_event())
    decide_pending(play.engine, play.now)
    request_retraining(play.engine, MODEL, "request-1", "sam", "again", force=True, now=play.now)

    [decided] = decide_pending(play.engine, play.now).decided

    assert decided.record.outcome == Outcome.HOLD
    assert len(play.azure.pipeline_runs) == 1


def test_request_made_twice_is_decided_once() -> None:
    play = Play()
    for _ in range(2):
        request_retraining(play.engine, MODEL, "request-1", "sam", "new labels", force=True, now=play.now)

    decide_pending(play.engine, play.now)
    again = request_retraining(play.engine, MODEL, "request-1", "sam", "new labels", force=True, now=play.now)

    assert (again.new, again.repeated) == (0, 1)
    assert decide_pending(play.engine, play.now).decided == ()
    assert len(play.azure.pipeline_runs) == 1


def test_request_for_a_model_without_a_policy_is_refused() -> None:
    play = Play()

    with pytest.raises(UnknownModel):
        request_retraining(play.engine, "nothing", "request-1", "sam", "why not", force=False, now=play.now)


def test_drift_stays_in_the_inbox_while_evidence_is_unavailable_and_is_decided_later() -> None:
    play = Play().with_policies(policy(**WITH_QUERY))
    play.azure.signals[MODEL] = [accuracy(0.6)]
    play.azure.down.add("source.read")
    play.receive(drift_event())

    report = decide_pending(play.engine, play.now)
    assert (len(report.deferred), play.ledger.decisions()) == (1, [])
    play.azure.down.clear()
    [decided] = decide_pending(play.engine, play.now).decided

    assert decided.record.outcome == Outcome.RETRAIN
    assert {signal.metric for signal in decided.evidence.signals} == {"drift_coefficient", "accuracy"}


def test_one_model_without_evidence_does_not_hold_up_another() -> None:
    play = Play().with_policies(policy(**WITH_QUERY), policy("demand", monitors=["demand-drift"]))
    play.azure.down.add("source.read")
    play.receive(drift_event("run-1"), drift_event("run-2", monitor="demand-drift"))

    report = decide_pending(play.engine, play.now)

    assert [decided.record.model for decided in report.decided] == ["demand"]


def test_query_that_azure_refuses_is_insufficient_evidence() -> None:
    play = Play().with_policies(policy(**WITH_QUERY))
    play.azure.refused.add("source.read")
    play.receive(drift_event())

    [decided] = decide_pending(play.engine, play.now).decided

    assert decided.record.outcome == Outcome.INSUFFICIENT
    assert "refused on request" in str(decided.record.evidence["missing"])
    assert play.ledger.retrainings() == []


def test_launch_that_azure_refuses_fails_the_retraining_with_the_reason() -> None:
    play = Play()
    play.azure.refused.add("launcher.launch")
    play.receive(drift_event())

    decide_pending(play.engine, play.now)

    assert play.retraining.state is RetrainingState.FAILED
    assert "refused on request" in (play.retraining.reason or "")


def test_launch_of_unknown_outcome_is_looked_for_before_it_is_repeated() -> None:
    play = Play()
    play.azure.down.add("launcher.launch")
    play.receive(drift_event())
    decide_pending(play.engine, play.now)
    play.azure.down.clear()

    play.tick(seconds=30)
    assert play.azure.pipeline_runs == {}, "the request may still be on its way"
    play.tick(minutes=3)

    assert play.azure.effects["run", play.retraining.id] == 1


def test_policy_that_changed_its_launcher_does_not_change_what_was_decided_before() -> None:
    play = Play()
    play.azure.down.add("launcher.launch")
    play.receive(drift_event())
    decide_pending(play.engine, play.now)

    play.azure.down.clear()

    play.with_policies(policy(retrain={"launcher": {"kind": "aml", "job": "train.yml"}})).tick(minutes=5)

    assert [run.retraining_id for run in play.azure.pipeline_runs.values()] == [play.retraining.id]


def test_job_launcher_makes_one_job_under_the_retrainings_name() -> None:
    play = Play().with_policies(policy(retrain={"launcher": {"kind": "aml", "job": "train.yml"}}))
    play.receive(drift_event())

    decide_pending(play.engine, play.now)

    assert list(play.azure.jobs) == [play.retraining.job_name]
    assert play.retraining.external_run_id == play.retraining.job_name


def test_decision_is_kept_with_its_policy_tree_and_evidence() -> None:
    play = Play()
    play.receive(drift_event())

    [decided] = decide_pending(play.engine, play.now).decided
    kept = play.ledger.decision(decided.record.id)

    assert kept == decided.record
    assert kept is not None
    assert (kept.policy_source, kept.decided_at) == (f"{MODEL}.yaml", START)
    assert kept.evidence["signals"][0]["monitor"] == MONITOR
    assert play.retraining.created_at - kept.decided_at == timedelta(0)
