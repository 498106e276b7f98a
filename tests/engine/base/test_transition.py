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


def test_move_is_audited(play: Play) -> None:
    """A move writes the new state, its changes and one audit row."""
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


def test_illegal_move_changes_nothing(play: Play) -> None:
    """A move that the table does not list raises an error and changes nothing."""
    before, trail = play.retraining, play.ledger.audit()

    with pytest.raises(IllegalTransition, match="training cannot be registered"):
        move_retraining(play.engine, before, RetrainingMove.REGISTERED, play.now)

    assert (play.retraining, play.ledger.audit()) == (before, trail)


def test_stale_move_changes_nothing(play: Play) -> None:
    """A move from an outdated revision is refused and changes nothing."""
    stale = play.retraining
    note_retraining(play.engine, stale, "seen", play.now, reason="first")
    before, trail = play.retraining, play.ledger.audit()

    with pytest.raises(StaleWrite):
        move_retraining(play.engine, stale, RetrainingMove.FAILED, play.now)

    assert (play.retraining, play.ledger.audit()) == (before, trail)


def test_note_keeps_state_and_time(play: Play) -> None:
    """A note changes fields and keeps the state and the time of the state."""
    before = play.retraining
    play.wait(minutes=7)

    noted = note_retraining(play.engine, before, "seen", play.now, reason="why")

    assert (noted.state, noted.state_since, noted.reason) == (before.state, before.state_since, "why")
