"""Why a model was not retrained, at any moment: the decision in force, and what had no part in it."""

from datetime import timedelta

import pytest
from msgspec import structs

from anew.core.events.event import Cause
from anew.engine.decisions.decide_pending import decide_pending
from anew.engine.history.trace import trace_of_model
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
    ("hours", "outcome", "sentence"),
    [(0, "hold", "0.1 is not above 0.3"), (2, "retrain", "0.6 is above 0.3"), (3, "hold", "is still under way")],
)
def test_decision_in_force_at_a_moment(play: Play, hours: int, outcome: str, sentence: str) -> None:
    """The last decision before a moment explains why the model was or was not retrained."""
    found = trace_of_model(play.ledger, MODEL, [MONITOR], START + hours * HOUR)
    decision = found.chain.decision
    assert decision is not None
    assert decision.outcome == outcome
    assert sentence in decision.tree["sentence"]


def test_event_without_part_in_a_decision(play: Play) -> None:
    """An event that no decision covers is listed with its outcome."""
    found = trace_of_model(play.ledger, MODEL, [MONITOR], START + 1.5 * HOUR)
    assert [(entry.event.run_id, entry.outcome) for entry in found.ignored] == [("run-2", "The monitor itself failed.")]


def test_other_monitors_are_left_out(play: Play) -> None:
    """Events of other monitors are left out."""
    play.receive(drift_event("run-5", monitor="somebody-else", at=play.now))
    found = trace_of_model(play.ledger, MODEL, [MONITOR], play.now)
    assert found.ignored == ()


def test_waiting_event_without_a_decision() -> None:
    """An event that waits for its decision is listed without an outcome."""
    play = Play()
    play.receive(drift_event())
    found = trace_of_model(play.ledger, MODEL, [MONITOR], play.now)
    assert (found.chain.decision, [entry.outcome for entry in found.ignored]) == (None, [None])


def test_moment_before_anything_is_known(play: Play) -> None:
    """A moment before the first event and decision is an error that names the model."""
    with pytest.raises(NothingKnown, match=f"nothing was decided or heard about {MODEL}"):
        trace_of_model(play.ledger, MODEL, [MONITOR], START - HOUR)
