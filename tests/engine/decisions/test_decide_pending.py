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
def test_storm_makes_one_launch(size: int) -> None:
    """A storm of events about one model leads to one decision and one launch."""
    play = Play()
    play.receive(*(drift_event(f"run-{number}") for number in range(size)))

    report = decide_pending(play.engine, play.now)

    [decided] = report.decided
    assert len(decided.record.covers) == size
    assert play.azure.effects["run", play.retraining.id] == 1
    assert all(entry.subject_id == decided.record.id for entry in play.ledger.entries(limit=size))
    assert decide_pending(play.engine, play.now).decided == ()


def test_drift_below_threshold_holds() -> None:
    """Drift below the threshold is a hold, and its reason names the value."""
    play = Play()
    play.receive(drift_event(value=0.1))

    [decided] = decide_pending(play.engine, play.now).decided

    assert decided.record.outcome == Outcome.HOLD
    assert "0.1" in decided.decision.tree.sentence
    assert play.ledger.retrainings() == []
    assert play.ledger.unsettled([Cause.DRIFT]) == []


def test_drift_within_cooldown_holds() -> None:
    """Drift within the cooldown of the last retraining is a hold."""
    play = Play()
    play.receive(drift_event("run-1"))
    play.tick_until(lambda: bool(play.ledger.retrainings([RetrainingState.REGISTERED])))
    play.receive(drift_event("run-2", at=play.now))

    [decided] = decide_pending(play.engine, play.now).decided

    assert decided.record.outcome == Outcome.HOLD
    assert "cooldown" in decided.decision.tree.sentence


def test_drift_after_cooldown_retrains() -> None:
    """Drift after the cooldown starts a second retraining."""
    play = Play()
    play.receive(drift_event("run-1"))
    play.tick_until(lambda: bool(play.ledger.retrainings([RetrainingState.REGISTERED])))
    play.wait(hours=25)
    play.receive(drift_event("run-2", at=play.now))

    [decided] = decide_pending(play.engine, play.now).decided

    assert decided.record.outcome == Outcome.RETRAIN
    assert len(play.ledger.retrainings()) == 2


def test_unwatched_drift_is_settled() -> None:
    """Drift that no policy watches is settled with this reason and makes no decision."""
    play = Play()
    play.receive(drift_event(monitor="strangers-monitor"))

    report = decide_pending(play.engine, play.now)

    [entry] = play.ledger.entries()
    assert report.unwatched == (entry.key,)
    assert entry.outcome == "not decided: no policy watches strangers-monitor"
    assert play.ledger.decisions() == []


def test_shared_monitor_decides_per_policy() -> None:
    """An event of a monitor that two policies watch leads to one decision for each."""
    play = Play().with_policies(policy("price"), policy("demand"))
    play.receive(drift_event())

    report = decide_pending(play.engine, play.now)

    assert sorted(decided.record.model for decided in report.decided) == ["demand", "price"]
    assert len({decided.record.id for decided in report.decided}) == 2
    assert len(play.azure.pipeline_runs) == 2
    [entry] = play.ledger.entries()
    assert entry.outcome == f"decision {report.decided[-1].record.id}: retrain"


def test_deferred_policy_decides_later() -> None:
    """A policy that lacked evidence decides later, also if another policy already decided on the event."""
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


def test_withdrawn_policy_repeats_no_decision() -> None:
    """If the other policy is withdrawn, the first model gets no second decision about the event."""
    play = price_is_decided_and_demand_is_not()
    play.tick_until(lambda: not play.retraining.is_open)

    play.with_policies(policy("price", limits={"cooldown": "0s"}))
    play.tick()

    assert len(play.azure.pipeline_runs) == 1
    [entry] = play.ledger.entries()
    assert entry.outcome == "decided for price; no other policy watches it any more"


def test_stalled_pass_repeats_no_decision() -> None:
    """A pass that stalls past its lease decides nothing that another worker has decided meanwhile."""
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


def test_forced_request_overrides_rules() -> None:
    """A forced request retrains without drift, and the decision names the person and the reason."""
    play = Play()
    request_retraining(play.engine, MODEL, "request-1", "sam", "new labels", force=True, now=play.now)

    [decided] = decide_pending(play.engine, play.now).decided

    assert decided.record.outcome == Outcome.RETRAIN
    assert "sam" in decided.decision.tree.sentence
    assert "new labels" in decided.decision.tree.sentence


def test_forced_request_holds_while_open() -> None:
    """A forced request is a hold while another retraining of the model is open."""
    play = Play()
    play.receive(drift_event())
    decide_pending(play.engine, play.now)
    request_retraining(play.engine, MODEL, "request-1", "sam", "again", force=True, now=play.now)

    [decided] = decide_pending(play.engine, play.now).decided

    assert decided.record.outcome == Outcome.HOLD
    assert len(play.azure.pipeline_runs) == 1


def test_repeated_request_is_decided_once() -> None:
    """A repeated request only raises the counter, before and after its decision."""
    play = Play()
    for _ in range(2):
        request_retraining(play.engine, MODEL, "request-1", "sam", "new labels", force=True, now=play.now)

    decide_pending(play.engine, play.now)
    again = request_retraining(play.engine, MODEL, "request-1", "sam", "new labels", force=True, now=play.now)

    assert (again.new, again.repeated) == (0, 1)
    assert decide_pending(play.engine, play.now).decided == ()
    assert len(play.azure.pipeline_runs) == 1


def test_request_without_policy_is_refused() -> None:
    """A request for a model without a policy is refused."""
    play = Play()

    with pytest.raises(UnknownModel):
        request_retraining(play.engine, "nothing", "request-1", "sam", "why not", force=False, now=play.now)


def test_unavailable_evidence_defers() -> None:
    """Drift stays in the inbox while its evidence is unavailable, and is decided later with all of it."""
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


def test_deferral_delays_no_other_model() -> None:
    """A model whose evidence is unavailable delays no decision about another model."""
    play = Play().with_policies(policy(**WITH_QUERY), policy("demand", monitors=["demand-drift"]))
    play.azure.down.add("source.read")
    play.receive(drift_event("run-1"), drift_event("run-2", monitor="demand-drift"))

    report = decide_pending(play.engine, play.now)

    assert [decided.record.model for decided in report.decided] == ["demand"]


def test_refused_query_is_insufficient() -> None:
    """Evidence from a query that Azure refuses is insufficient, and the decision names the cause."""
    play = Play().with_policies(policy(**WITH_QUERY))
    play.azure.refused.add("source.read")
    play.receive(drift_event())

    [decided] = decide_pending(play.engine, play.now).decided

    assert decided.record.outcome == Outcome.INSUFFICIENT
    assert "refused on request" in str(decided.record.evidence["missing"])
    assert play.ledger.retrainings() == []


def test_refused_launch_fails_retraining() -> None:
    """A launch that Azure refuses fails the retraining with the reason of Azure."""
    play = Play()
    play.azure.refused.add("launcher.launch")
    play.receive(drift_event())

    decide_pending(play.engine, play.now)

    assert play.retraining.state is RetrainingState.FAILED
    assert "refused on request" in (play.retraining.reason or "")


def test_unanswered_launch_is_repeated_once() -> None:
    """A launch without an answer is repeated only when the first request can no longer arrive."""
    play = Play()
    play.azure.down.add("launcher.launch")
    play.receive(drift_event())
    decide_pending(play.engine, play.now)
    play.azure.down.clear()

    play.tick(seconds=30)
    assert play.azure.pipeline_runs == {}, "the request may still be on its way"
    play.tick(minutes=3)

    assert play.azure.effects["run", play.retraining.id] == 1


def test_open_retraining_keeps_its_launcher() -> None:
    """A policy that changes its launcher does not change the launcher of an open retraining."""
    play = Play()
    play.azure.down.add("launcher.launch")
    play.receive(drift_event())
    decide_pending(play.engine, play.now)

    play.azure.down.clear()

    play.with_policies(policy(retrain={"launcher": {"kind": "aml", "job": "train.yml"}})).tick(minutes=5)

    assert [run.retraining_id for run in play.azure.pipeline_runs.values()] == [play.retraining.id]


def test_job_launcher_names_its_job() -> None:
    """The `aml` launcher submits one job, named after the retraining."""
    play = Play().with_policies(policy(retrain={"launcher": {"kind": "aml", "job": "train.yml"}}))
    play.receive(drift_event())

    decide_pending(play.engine, play.now)

    assert list(play.azure.jobs) == [play.retraining.job_name]
    assert play.retraining.external_run_id == play.retraining.job_name


def test_decision_is_stored_whole() -> None:
    """A decision is stored with its policy, its tree and its evidence."""
    play = Play()
    play.receive(drift_event())

    [decided] = decide_pending(play.engine, play.now).decided
    kept = play.ledger.decision(decided.record.id)

    assert kept == decided.record
    assert kept is not None
    assert (kept.policy_source, kept.decided_at) == (f"{MODEL}.yaml", START)
    assert kept.evidence["signals"][0]["monitor"] == MONITOR
    assert play.retraining.created_at - kept.decided_at == timedelta(0)
