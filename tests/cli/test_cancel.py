"""`anew cancel` ends what runs in Azure, says so, and says when it could not yet."""

import json

import pytest

from anew import wiring
from anew.adapters.memory.azure import Ending
from anew.cli import cancel as command
from anew.cli.cancel import cancel
from anew.core.retrainings.lifecycle import RetrainingState, StopCause
from anew.engine.base.ports import RunStatus
from anew.engine.decisions.decide_pending import decide_pending
from anew.errors import IllegalTransition, NothingKnown
from tests.builders import MODEL, PIPELINE, Play, drift_event


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Play:
    """A training under way, which the command's engine is about."""
    play = Play()
    play.azure.endings[PIPELINE] = Ending(RunStatus.RUNNING)
    play.receive(drift_event())
    decide_pending(play.engine, play.now)
    monkeypatch.setattr(wiring, "build_engine", lambda *_: play.engine)
    monkeypatch.setattr(command, "_POLL", 0.0)
    return play


def running(play: Play) -> bool:
    return any(run.status is RunStatus.RUNNING for run in play.azure.pipeline_runs.values())


@pytest.mark.parametrize("about", [MODEL, "its id"])
def test_training_is_ended_in_azure_by_its_model_or_its_id(
    play: Play, about: str, capsys: pytest.CaptureFixture[str]
) -> None:
    named = play.retraining.id if about == "its id" else about

    assert cancel(named, reason="wrong data") == 0

    assert not running(play)
    assert (play.retraining.state, play.retraining.stopped_for) == (RetrainingState.CANCELED, StopCause.REQUESTED)
    assert "none of its runs is left in Azure" in capsys.readouterr().out


def test_who_and_why_are_in_the_audit_trail(play: Play) -> None:
    cancel(MODEL, reason="wrong data")

    stopped = next(row for row in play.ledger.audit(play.retraining.id) if row.what == "stop")
    assert "wrong data (" in stopped.detail["reason"]


def test_azure_that_is_slow_to_end_it_is_said_and_left_to_reconcile(
    play: Play, capsys: pytest.CaptureFixture[str]
) -> None:
    play.azure.down.add("launcher.cancel")

    assert cancel(MODEL, reason="wrong data", wait=0) == 1

    assert "still canceling; reconcile continues" in capsys.readouterr().out
    play.azure.down.clear()
    play.tick()
    play.tick()
    assert play.retraining.state is RetrainingState.CANCELED


def test_json_says_the_same_for_machines(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    cancel(MODEL, reason="wrong data", json=True)

    said = json.loads(capsys.readouterr().out)
    assert (said["retraining"], said["state"]) == (play.retraining.id, "canceled")


def test_nothing_to_cancel_is_an_error_that_names_what_was_asked_for(play: Play) -> None:
    with pytest.raises(NothingKnown, match="another-model"):
        cancel("another-model", reason="why not")


def test_what_has_ended_cannot_be_cancelled(play: Play) -> None:
    cancel(MODEL, reason="wrong data")

    with pytest.raises(IllegalTransition):
        cancel(play.retraining.id, reason="once more")
