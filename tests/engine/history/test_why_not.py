"""Why a model was not retrained, at any moment: the decision in force, and what had no part in it."""

from datetime import timedelta

import pytest
from msgspec import structs

from anew.core.events.event import Cause
from anew.engine.decisions.decide_pending import decide_pending
from anew.engine.history.trace import tell_of_model
from anew.errors import NothingKnown
from tests.builders import MODEL, MONITOR, START, Play, drift_event

HOUR = timedelta(hours=1)


@pytest.fixture
def play() -> Play:
    """A hold at the start, a failed monitor an hour later, a retraining after two, a hold while it runs after three."""
    play = Play()
    play.receive(drift_event("run-1", value=0.1))
    decide_pending(play.engine, play.now)
    play.wait(hours=1)
    failed = structs.replace(
        drift_event("run-2", at=play.now), drift=None, experiment=MONITOR, cause=Cause.MONITOR_FAILED
    )
    play.receive(failed)
    play.ledger.settle([failed.key], "The monitor itself failed.", play.now)
    play.wait(hours=1)
    play.receive(drift_event("run-3", at=play.now))
    decide_pending(play.engine, play.now)
    play.wait(hours=1)
    play.receive(drift_event("run-4", at=play.now))
    decide_pending(play.engine, play.now)
    return play


@pytest.mark.parametrize(
    ("hours", "outcome", "said"),
    [(0, "hold", "0.1 is not above 0.3"), (2, "retrain", "0.6 is above 0.3"), (3, "hold", "is still under way")],
)
def test_decision_in_force_at_a_moment_is_told(play: Play, hours: int, outcome: str, said: str) -> None:
    story = tell_of_model(play.ledger, MODEL, [MONITOR], START + hours * HOUR)
    assert story.decision is not None
    assert story.decision.outcome == outcome
    assert said in story.decision.tree["sentence"]


def test_event_that_led_to_no_decision_is_named_with_its_reason(play: Play) -> None:
    story = tell_of_model(play.ledger, MODEL, [MONITOR], START + 1.5 * HOUR)
    assert [(entry.event.run_id, entry.outcome) for entry in story.ignored] == [("run-2", "The monitor itself failed.")]


def test_events_of_other_monitors_are_not_named(play: Play) -> None:
    play.receive(drift_event("run-5", monitor="somebody-else", at=play.now))
    story = tell_of_model(play.ledger, MODEL, [MONITOR], play.now)
    assert story.ignored == ()


def test_event_that_waits_is_named_before_any_decision() -> None:
    play = Play()
    play.receive(drift_event())
    story = tell_of_model(play.ledger, MODEL, [MONITOR], play.now)
    assert (story.decision, [entry.outcome for entry in story.ignored]) == (None, [None])


def test_moment_before_anything_is_known_says_so(play: Play) -> None:
    with pytest.raises(NothingKnown, match=f"nothing was decided or heard about {MODEL}"):
        tell_of_model(play.ledger, MODEL, [MONITOR], START - HOUR)
