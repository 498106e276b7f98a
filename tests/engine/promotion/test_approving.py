"""A person approves, rejects or forces a candidate; the first decision counts."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from anew.adapters.memory.azure import Ending
from anew.core.retrainings.lifecycle import ApprovalDecision, RetrainingState
from anew.engine.base.ports import Notification, RunStatus
from anew.engine.promotion.approving import decide_approval, force_approval
from anew.errors import IllegalTransition, InvalidRequest, NothingKnown, NotificationFailed
from tests.builders import MODEL, PIPELINE, Play, drift_event, evaluation, policy, serve
from tests.engine.promotion.candidates import (
    APPROVAL,
    awaiting_approval,
    awaiting_data,
    gate,
    notifications,
    played,
)


def test_person_is_asked_once() -> None:
    """A candidate that passed awaits approval, with one notification."""
    play = awaiting_approval()
    for _ in range(5):
        play.tick(hours=1)

    [asked] = [news for news in notifications(play) if news.kind == "approval.requested"]
    assert (asked.about, asked.until) == (play.retraining.id, play.retraining.approval_deadline)
    assert f"anew approve {play.retraining.id}" in asked.text
    assert (MODEL, "4") not in play.azure.models


def test_failed_notification_stops_nothing() -> None:
    """A notification that fails does not stop the candidate from awaiting approval."""

    class Deaf:
        def send(self, news: Notification) -> None:
            raise NotificationFailed("nobody there")

    play = Play().with_policies(policy(gate=APPROVAL))
    play.engine = replace(play.engine, notifier=Deaf())
    serve(play.azure, "3")
    play.receive(drift_event())
    play.tick()

    play.tick_until(lambda: play.retraining.state is RetrainingState.AWAITING_APPROVAL)


@pytest.mark.parametrize("about", ["id", "decision", "model"])
def test_approved_candidate_is_registered(about: str) -> None:
    """An approved version shows in its tags and audit trail who approved it and why."""
    play = awaiting_approval()
    named = {"id": play.retraining.id, "decision": play.retraining.decision_id, "model": MODEL}[about]

    decide_approval(play.ledger, named, True, "anna", "looks right", play.now)
    play.tick()

    assert play.retraining.state is RetrainingState.REGISTERED
    tags = play.azure.models[MODEL, "4"].tags
    assert (tags["anew_approved_by"], tags["anew_approved_reason"]) == ("anna", "looks right")
    said = next(row for row in play.ledger.audit(play.retraining.id) if row.what == "approved")
    assert (said.actor, said.detail["approval_reason"]) == ("anna", "looks right")


def test_rejected_candidate_is_never_registered() -> None:
    """A candidate that a person rejects is not registered, and its reason names the person."""
    play = awaiting_approval()

    decide_approval(play.ledger, MODEL, False, "bo", "too risky", play.now)
    play.tick(days=3)

    assert (play.retraining.state, play.retraining.approval) == (RetrainingState.REJECTED, ApprovalDecision.REJECTED)
    assert play.retraining.reason == "rejected by bo: too risky"
    assert list(play.azure.models) == [(MODEL, "3")]


@pytest.mark.parametrize("approved", [True, False])
def test_first_decision_counts(approved: bool) -> None:
    """Repeating a decision changes nothing, and the opposite is refused."""
    play = awaiting_approval()
    first = decide_approval(play.ledger, MODEL, approved, "anna", "so", play.now)

    assert decide_approval(play.ledger, first.id, approved, "bo", "so too", play.now) == first
    with pytest.raises(IllegalTransition, match="by anna"):
        decide_approval(play.ledger, first.id, not approved, "bo", "no", play.now)
    assert play.retraining == first


def test_no_answer_is_a_no() -> None:
    """At its deadline a candidate is rejected."""
    play = awaiting_approval()

    play.tick(hours=47)
    assert play.retraining.state is RetrainingState.AWAITING_APPROVAL
    play.tick(hours=1)

    assert play.retraining.state is RetrainingState.REJECTED
    assert "no answer is a no" in (play.retraining.reason or "")
    assert "retraining.rejected" in {news.kind for news in notifications(play)}


def test_late_decision_is_refused() -> None:
    """A decision after the deadline is refused, before and after the next tick."""
    play = awaiting_approval()
    play.now += timedelta(days=2)

    with pytest.raises(IllegalTransition, match="no answer is a no"):
        decide_approval(play.ledger, MODEL, True, "anna", "late", play.now)
    play.tick()
    with pytest.raises(IllegalTransition, match="no answer is a no"):
        decide_approval(play.ledger, play.retraining.id, True, "anna", "late", play.now)


def test_only_waiting_candidates_are_decided() -> None:
    """A candidate that does not await approval cannot be approved."""
    play = awaiting_data()

    for about in (MODEL, play.retraining.id, "unknown"):
        with pytest.raises(NothingKnown):
            decide_approval(play.ledger, about, True, "anna", "why not", play.now)


def test_approval_is_void_after_champion_change() -> None:
    """An approval counts only against the champion of that time."""
    play = awaiting_approval()
    serve(play.azure, "7")

    decide_approval(play.ledger, MODEL, True, "anna", "better than 3", play.now)
    play.tick_until(lambda: play.retraining.state is RetrainingState.AWAITING_APPROVAL)

    assert (play.retraining.champion_version, play.retraining.approval) == ("7", None)
    assert len([news for news in notifications(play) if news.kind == "approval.requested"]) == 2


def rejected() -> Play:
    return played(gate(), RetrainingState.REJECTED, report=evaluation(better=10, worse=90))


@pytest.mark.parametrize("history", [awaiting_data, awaiting_approval, rejected])
def test_candidate_can_be_forced(history: Any) -> None:
    """A candidate can be forced past the gate or a rejection, and its version shows who did it and why."""
    play = history()

    forced = force_approval(play.ledger, MODEL, "anna", "the old one is on fire", play.now)
    assert force_approval(play.ledger, forced.id, "anna", "again", play.now) == forced
    play.tick()

    assert play.retraining.state is RetrainingState.REGISTERED
    tags = play.azure.models[MODEL, "4"].tags
    assert (tags["anew_forced_by"], tags["anew_forced_reason"]) == ("anna", "the old one is on fire")
    assert "forced" in {row.what for row in play.ledger.audit(forced.id)}


def test_forcing_needs_a_reason() -> None:
    """A forced approval without a reason is refused."""
    play = rejected()

    with pytest.raises(InvalidRequest, match="needs a reason"):
        force_approval(play.ledger, MODEL, "anna", "  ", play.now)


@pytest.mark.parametrize("status", [RunStatus.FAILED, RunStatus.RUNNING])
def test_incomplete_training_cannot_be_forced(status: RunStatus) -> None:
    """A training that failed or still runs has no candidate to force."""
    play = Play()
    play.azure.endings[PIPELINE] = Ending(status)
    play.receive(drift_event())
    play.tick()
    play.tick()

    with pytest.raises(IllegalTransition, match="no candidate to force"):
        force_approval(play.ledger, MODEL, "anna", "please", play.now)


def test_forcing_opens_no_second_retraining() -> None:
    """A model has one open retraining at a time."""
    play = rejected()
    first = play.retraining.id
    play.azure.endings[PIPELINE] = Ending(RunStatus.RUNNING)
    play.now += timedelta(days=3)
    play.receive(drift_event("drift-2", at=play.now))
    play.tick()
    assert len(play.ledger.retrainings()) == 2

    with pytest.raises(IllegalTransition, match="one retraining at a time"):
        force_approval(play.ledger, first, "anna", "please", play.now)

    found = play.ledger.retraining(first)
    assert found is not None
    assert found.state is RetrainingState.REJECTED
