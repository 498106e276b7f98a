"""State is written by one function, and only along the table."""

from dataclasses import replace

import pytest

from anew.core.retrainings.lifecycle import RetrainingMove, RetrainingState
from anew.engine.base.transition import move_retraining, note_retraining
from anew.engine.decisions.decide_pending import decide_pending
from anew.errors import IllegalTransition, StaleWrite
from tests.builders import Play, drift_event


@pytest.fixture
def play() -> Play:
    play = Play()
    play.receive(drift_event())
    decide_pending(play.engine, play.now)
    return play


def test_move_writes_the_new_state_its_changes_and_an_audit_row(play: Play) -> None:
    before = play.retraining
    play.wait(minutes=7)

    moved = move_retraining(play.engine, before, RetrainingMove.FAILED, play.now, reason="why")

    assert moved == play.retraining
    assert moved == replace(
        before, state=RetrainingState.FAILED, state_since=play.now, revision=before.revision + 1, reason="why"
    )
    last = play.ledger.audit(before.id)[-1]
    assert (last.what, last.actor, last.at) == ("failed", "test", play.now)
    assert last.detail == {"reason": "why", "state": "failed"}


def test_move_the_table_lacks_changes_nothing(play: Play) -> None:
    before, trail = play.retraining, play.ledger.audit()

    with pytest.raises(IllegalTransition, match="training cannot be registered"):
        move_retraining(play.engine, before, RetrainingMove.REGISTERED, play.now)

    assert (play.retraining, play.ledger.audit()) == (before, trail)


def test_move_from_a_revision_that_was_overtaken_changes_nothing(play: Play) -> None:
    stale = play.retraining
    note_retraining(play.engine, stale, "seen", play.now, reason="first")
    before, trail = play.retraining, play.ledger.audit()

    with pytest.raises(StaleWrite):
        move_retraining(play.engine, stale, RetrainingMove.FAILED, play.now)

    assert (play.retraining, play.ledger.audit()) == (before, trail)


def test_note_keeps_state_and_time(play: Play) -> None:
    before = play.retraining
    play.wait(minutes=7)

    noted = note_retraining(play.engine, before, "seen", play.now, reason="why")

    assert (noted.state, noted.state_since, noted.reason) == (before.state, before.state_since, "why")
