"""What a candidate goes through before it is a version: waiting for rows, a version that went live, a person."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from anew.adapters.memory.azure import Ending
from anew.adapters.memory.evidence import MemoryNotifier
from anew.core.retrainings.lifecycle import ApprovalDecision, RetrainingState
from anew.engine.base.ports import Notification, RunStatus
from anew.engine.promotion.approving import answer, force
from anew.engine.promotion.registering import CHAMPION_CHANGES_AT_MOST
from anew.engine.training.stopping import request_stop
from anew.errors import IllegalTransition, InvalidRequest, NothingKnown, NotificationFailed
from tests.builders import EVALUATE_JOB, MODEL, PIPELINE, Play, drift_event, evaluation, policy, serve

INCONCLUSIVE: dict[str, Any] = {"better": 3, "worse": 3, "rows": 150}
HOLD = {"keep_for": "3d", "every": "1d"}
APPROVAL = {"kind": "non_inferiority", "approval": {"timeout": "2d"}}


def gate(**inconclusive: Any) -> dict[str, Any]:
    return {"kind": "non_inferiority", "inconclusive": HOLD | inconclusive}


def played(gate: dict[str, Any], until: RetrainingState, *, report: Ending | None = None, **changes: Any) -> Play:
    """A history in which version 3 serves, and whose candidate has come to this state."""
    play = Play().with_policies(policy(gate=gate, **changes))
    serve(play.azure, "3")
    play.azure.endings[EVALUATE_JOB] = report or evaluation()
    play.receive(drift_event())
    play.tick()
    play.tick_until(lambda: play.retraining.state is until)
    return play


def holding(**inconclusive: Any) -> Play:
    return played(gate(**inconclusive), RetrainingState.AWAITING_DATA, report=evaluation(**INCONCLUSIVE))


def awaiting() -> Play:
    return played(APPROVAL, RetrainingState.AWAITING_APPROVAL)


def told(play: Play) -> list[Notification]:
    assert isinstance(play.engine.notifier, MemoryNotifier)
    return play.engine.notifier.sent


def evaluations(play: Play) -> int:
    return sum("-evaluate" in name for name in play.azure.jobs)


# --- holding ----------------------------------------------------------------------------------------------


def test_inconclusive_gate_holds_and_evaluates_again_on_the_newest_rows() -> None:
    play = holding()
    first = play.retraining.evaluation_job
    play.azure.endings[EVALUATE_JOB] = evaluation(data_hash="newer")

    play.tick(hours=23)
    assert play.retraining.state is RetrainingState.AWAITING_DATA
    play.tick(hours=1)
    play.tick_until(lambda: not play.retraining.is_open)

    assert play.retraining.state is RetrainingState.REGISTERED
    assert (play.retraining.evaluation_job, play.retraining.evaluations) == (f"{first}-2", 2)
    assert play.azure.models[MODEL, "4"].tags["anew_evaluation_run"] == f"{first}-2"


def test_hold_that_is_over_rejects_with_what_the_gate_said() -> None:
    play = holding()
    began = play.retraining.inconclusive_since
    assert began is not None

    for number in range(80):
        play.azure.endings[EVALUATE_JOB] = evaluation(**INCONCLUSIVE, data_hash=f"rows-{number}")
        play.tick(hours=1)

    assert play.retraining.state is RetrainingState.REJECTED
    assert timedelta(days=3) <= play.retraining.state_since - began <= timedelta(days=3, hours=2)
    assert (play.retraining.reason or "").startswith("inconclusive: ")
    assert play.retraining.evaluations == evaluations(play) == 3


def test_hold_that_is_over_asks_when_the_policy_says_so() -> None:
    play = holding(then="ask")

    play.tick(days=3)

    assert play.retraining.state is RetrainingState.AWAITING_APPROVAL


def test_no_time_to_hold_is_answered_at_once() -> None:
    play = played(gate(keep_for="0s"), RetrainingState.REJECTED, report=evaluation(**INCONCLUSIVE))

    assert evaluations(play) == 1


def test_same_rows_again_are_no_evidence_whatever_the_report_says() -> None:
    play = holding()
    play.azure.endings[EVALUATE_JOB] = evaluation(better=60, worse=0)

    play.tick(days=1)
    play.tick()

    assert (play.retraining.state, play.retraining.evaluations) == (RetrainingState.AWAITING_DATA, 2)
    assert "no new rows since the last evaluation" in (play.retraining.reason or "")


def test_same_rows_against_another_champion_are_a_new_comparison() -> None:
    play = holding()
    play.azure.endings[EVALUATE_JOB] = evaluation()
    serve(play.azure, "7")

    play.tick(days=1)
    play.tick_until(lambda: not play.retraining.is_open)

    assert play.azure.jobs[play.retraining.evaluation_job].inputs["champion"] == f"azureml:{MODEL}:7"
    assert play.azure.models[MODEL, "8"].tags["anew_parent_version"] == "7"


def test_held_candidate_costs_no_call_of_azure_until_it_is_evaluated_again() -> None:
    play = holding()
    play.tick(minutes=1)
    before = len(play.azure.calls)

    for _ in range(22):
        play.tick(hours=1)

    about_runs = [call for call in play.azure.calls[before:] if call.startswith(("jobs.get", "launcher.view"))]
    assert about_runs == []
    assert play.retraining.state is RetrainingState.AWAITING_DATA


def test_candidate_that_waits_can_be_stopped_and_leaves_nothing_running() -> None:
    for play in (holding(), awaiting()):
        request_stop(play.engine, MODEL, "not needed", play.now)

        play.tick_until(lambda play=play: not play.retraining.is_open)

        assert play.retraining.state is RetrainingState.CANCELED
        assert all(job.status is not RunStatus.RUNNING for job in play.azure.jobs.values())


def test_newer_drift_supersedes_a_held_candidate() -> None:
    play = played(
        gate(),
        RetrainingState.AWAITING_DATA,
        report=evaluation(**INCONCLUSIVE),
        limits={"cooldown": "1h", "in_flight": "supersede"},
    )
    held = play.retraining.id

    play.receive(drift_event("drift-2", at=play.now))
    play.tick_until(lambda: len(play.ledger.retrainings()) == 2)

    superseded = play.ledger.retraining(held)
    assert superseded is not None
    assert superseded.state is RetrainingState.CANCELED


# --- the version that serves ------------------------------------------------------------------------------


def evaluating() -> Play:
    return played(gate(), RetrainingState.EVALUATING)


def test_candidate_that_passed_against_a_version_that_serves_no_longer_is_compared_again() -> None:
    play = evaluating()
    serve(play.azure, "7")

    play.tick_until(lambda: not play.retraining.is_open)

    assert (play.retraining.state, play.retraining.champion_version) == (RetrainingState.REGISTERED, "7")
    assert play.azure.models[MODEL, "8"].tags["anew_parent_version"] == "7"
    assert evaluations(play) == 2


def test_champion_that_changes_each_time_ends_in_a_rejection() -> None:
    play = evaluating()

    for version in range(10, 40):
        serve(play.azure, str(version))
        play.tick()

    assert play.retraining.state is RetrainingState.REJECTED
    assert "another version went live" in (play.retraining.reason or "")
    assert evaluations(play) == CHAMPION_CHANGES_AT_MOST + 1


def test_first_version_of_somebody_else_that_went_live_meanwhile_is_compared_with() -> None:
    play = Play()
    play.azure.endings[PIPELINE] = Ending()
    play.receive(drift_event())
    play.azure.down.add("registry.versions")
    play.tick()
    play.tick_until(lambda: play.retraining.state is RetrainingState.REGISTERING)
    play.azure.down.clear()
    serve(play.azure, "1")

    play.tick_until(lambda: not play.retraining.is_open)

    assert (play.retraining.state, play.retraining.champion_version) == (RetrainingState.REGISTERED, "1")


def test_endpoint_that_is_gone_does_not_void_a_comparison() -> None:
    play = evaluating()
    play.azure.endpoints.clear()

    play.tick_until(lambda: not play.retraining.is_open)

    assert (play.retraining.state, evaluations(play)) == (RetrainingState.REGISTERED, 1)


def test_report_that_compares_with_nothing_fails_while_a_version_serves() -> None:
    alone = {"task": "classification", "rows": 1000, "data_hash": "x", "challenger_correct": 900}
    report = Ending(tags={"anew_evaluation": str(alone).replace("'", '"')})

    play = played(gate(), RetrainingState.FAILED, report=report)

    assert "compares with nothing, and version 3 of price serves" in (play.retraining.reason or "")


def test_floors_are_evaluated_though_no_version_serves() -> None:
    floors = [{"metric": "latency_ms", "at_most": 50}]
    play = Play().with_policies(policy(gate={"kind": "non_inferiority", "floors": floors}))
    play.receive(drift_event())
    play.tick()

    play.tick_until(lambda: any(name.endswith("-evaluate") for name in play.azure.jobs))

    inputs = play.azure.jobs[play.retraining.evaluation_job].inputs
    assert "champion" not in inputs


def test_evaluation_is_told_the_gate() -> None:
    play = evaluating()

    told = str(play.azure.jobs[play.retraining.evaluation_job].inputs["gate"])

    assert '"margin":0.01' in told
    assert "approval" not in told


# --- people -----------------------------------------------------------------------------------------------


def test_candidate_that_passed_waits_for_a_person_who_is_asked_once() -> None:
    play = awaiting()
    for _ in range(5):
        play.tick(hours=1)

    [asked] = [news for news in told(play) if news.kind == "approval.requested"]
    assert (asked.about, asked.until) == (play.retraining.id, play.retraining.approval_deadline)
    assert f"anew approve {play.retraining.id}" in asked.text
    assert (MODEL, "4") not in play.azure.models


def test_people_who_cannot_be_asked_keep_nothing_from_waiting() -> None:
    class Deaf:
        def send(self, notification: Notification) -> None:
            raise NotificationFailed("nobody there")

    play = Play().with_policies(policy(gate=APPROVAL))
    play.engine = replace(play.engine, notifier=Deaf())
    serve(play.azure, "3")
    play.receive(drift_event())
    play.tick()

    play.tick_until(lambda: play.retraining.state is RetrainingState.AWAITING_APPROVAL)


@pytest.mark.parametrize("about", ["id", "decision", "model"])
def test_approved_candidate_is_registered_and_says_by_whom(about: str) -> None:
    play = awaiting()
    named = {"id": play.retraining.id, "decision": play.retraining.decision_id, "model": MODEL}[about]

    answer(play.engine, named, True, "anna", "looks right", play.now)
    play.tick()

    assert play.retraining.state is RetrainingState.REGISTERED
    tags = play.azure.models[MODEL, "4"].tags
    assert (tags["anew_approved_by"], tags["anew_approved_reason"]) == ("anna", "looks right")
    said = next(row for row in play.ledger.audit(play.retraining.id) if row.what == "approved")
    assert (said.actor, said.detail["approval_reason"]) == ("anna", "looks right")


def test_rejected_candidate_is_never_registered() -> None:
    play = awaiting()

    answer(play.engine, MODEL, False, "bo", "too risky", play.now)
    play.tick(days=3)

    assert (play.retraining.state, play.retraining.approval) == (RetrainingState.REJECTED, ApprovalDecision.REJECTED)
    assert play.retraining.reason == "rejected by bo: too risky"
    assert list(play.azure.models) == [(MODEL, "3")]


@pytest.mark.parametrize("approved", [True, False])
def test_same_answer_again_changes_nothing_and_another_one_is_refused(approved: bool) -> None:
    play = awaiting()
    first = answer(play.engine, MODEL, approved, "anna", "so", play.now)

    assert answer(play.engine, first.id, approved, "bo", "so too", play.now) == first
    with pytest.raises(IllegalTransition, match="by anna"):
        answer(play.engine, first.id, not approved, "bo", "no", play.now)
    assert play.retraining == first


def test_no_answer_in_time_is_a_no() -> None:
    play = awaiting()

    play.tick(hours=47)
    assert play.retraining.state is RetrainingState.AWAITING_APPROVAL
    play.tick(hours=1)

    assert play.retraining.state is RetrainingState.REJECTED
    assert "no answer is a no" in (play.retraining.reason or "")
    assert "retraining.rejected" in {news.kind for news in told(play)}


def test_answer_that_comes_too_late_is_refused_though_no_tick_has_passed() -> None:
    play = awaiting()
    play.now += timedelta(days=2)

    with pytest.raises(IllegalTransition, match="no answer is a no"):
        answer(play.engine, MODEL, True, "anna", "late", play.now)
    play.tick()
    with pytest.raises(IllegalTransition, match="no answer is a no"):
        answer(play.engine, play.retraining.id, True, "anna", "late", play.now)


def test_nothing_that_waits_cannot_be_answered() -> None:
    play = holding()

    for about in (MODEL, play.retraining.id, "unknown"):
        with pytest.raises(NothingKnown):
            answer(play.engine, about, True, "anna", "why not", play.now)


def test_approval_is_void_when_another_version_went_live_since() -> None:
    play = awaiting()
    serve(play.azure, "7")

    answer(play.engine, MODEL, True, "anna", "better than 3", play.now)
    play.tick_until(lambda: play.retraining.state is RetrainingState.AWAITING_APPROVAL)

    assert (play.retraining.champion_version, play.retraining.approval) == ("7", None)
    assert len([news for news in told(play) if news.kind == "approval.requested"]) == 2


# --- by force ---------------------------------------------------------------------------------------------


def rejected() -> Play:
    return played(gate(), RetrainingState.REJECTED, report=evaluation(better=10, worse=90))


@pytest.mark.parametrize("history", [holding, awaiting, rejected])
def test_candidate_can_be_forced_with_a_reason_that_its_version_shows(history: Any) -> None:
    play = history()

    forced = force(play.engine, MODEL, "anna", "the old one is on fire", play.now)
    assert force(play.engine, forced.id, "anna", "again", play.now) == forced
    play.tick()

    assert play.retraining.state is RetrainingState.REGISTERED
    tags = play.azure.models[MODEL, "4"].tags
    assert (tags["anew_forced_by"], tags["anew_forced_reason"]) == ("anna", "the old one is on fire")
    assert "forced" in {row.what for row in play.ledger.audit(forced.id)}


def test_forcing_needs_a_reason() -> None:
    play = rejected()

    with pytest.raises(InvalidRequest, match="needs a reason"):
        force(play.engine, MODEL, "anna", "  ", play.now)


@pytest.mark.parametrize("status", [RunStatus.FAILED, RunStatus.RUNNING])
def test_training_that_did_not_complete_has_no_candidate_to_force(status: RunStatus) -> None:
    play = Play()
    play.azure.endings[PIPELINE] = Ending(status)
    play.receive(drift_event())
    play.tick()
    play.tick()

    with pytest.raises(IllegalTransition, match="no candidate to force"):
        force(play.engine, MODEL, "anna", "please", play.now)


def test_forcing_makes_no_second_open_retraining_of_the_model() -> None:
    play = rejected()
    first = play.retraining.id
    play.azure.endings[PIPELINE] = Ending(RunStatus.RUNNING)
    play.now += timedelta(days=3)
    play.receive(drift_event("drift-2", at=play.now))
    play.tick()
    assert len(play.ledger.retrainings()) == 2

    with pytest.raises(IllegalTransition, match="one retraining at a time"):
        force(play.engine, first, "anna", "please", play.now)

    found = play.ledger.retraining(first)
    assert found is not None
    assert found.state is RetrainingState.REJECTED


# --- by the training itself -------------------------------------------------------------------------------

BY_TRAINING: dict[str, Any] = {"evaluate": {"by": "training"}}


def by_training(ending: Ending, **inconclusive: Any) -> Play:
    play = Play().with_policies(policy(gate=gate(**inconclusive), **BY_TRAINING))
    serve(play.azure, "3")
    play.azure.endings[PIPELINE] = ending
    play.receive(drift_event())
    play.tick()
    return play


def test_training_may_report_itself_and_no_evaluation_runs() -> None:
    play = by_training(evaluation())

    play.tick_until(lambda: not play.retraining.is_open)

    assert (play.retraining.state, evaluations(play)) == (RetrainingState.REGISTERED, 0)
    assert play.azure.models[MODEL, "4"].tags["anew_evaluation_run"] == play.retraining.job_name


def test_metrics_of_the_training_are_taken_when_it_left_no_report() -> None:
    metrics = {"challenger_accuracy": 0.95, "champion_accuracy": 0.5, "rows": 2000.0}
    play = by_training(Ending(metrics=metrics))

    play.tick_until(lambda: not play.retraining.is_open)

    assert play.retraining.state is RetrainingState.REGISTERED


def test_training_without_report_and_metrics_fails() -> None:
    play = by_training(Ending())

    play.tick_until(lambda: not play.retraining.is_open)

    assert play.retraining.state is RetrainingState.FAILED


@pytest.mark.parametrize(
    ("then", "state"), [("reject", RetrainingState.REJECTED), ("ask", RetrainingState.AWAITING_APPROVAL)]
)
def test_waiting_brings_a_training_no_evidence_so_that_the_answer_is_given_at_once(
    then: str, state: RetrainingState
) -> None:
    play = by_training(evaluation(**INCONCLUSIVE), then=then)

    play.tick_until(lambda: play.retraining.state is state)


def test_report_of_a_training_about_another_champion_settles_nothing() -> None:
    play = by_training(evaluation())
    play.azure.down.add("registry.versions")
    play.tick_until(lambda: play.retraining.state is RetrainingState.REGISTERING)
    play.azure.down.clear()
    serve(play.azure, "7")

    play.tick_until(lambda: not play.retraining.is_open)

    assert play.retraining.state is RetrainingState.REJECTED
    assert "another version than 7" in (play.retraining.reason or "")
