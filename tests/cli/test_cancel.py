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
def test_cancel_by_model_or_id(play: Play, about: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A training is canceled in Azure by its model or its id."""
    named = play.retraining.id if about == "its id" else about

    assert cancel(named, reason="wrong data") == 0

    assert not running(play)
    assert (play.retraining.state, play.retraining.stopped_for) == (RetrainingState.CANCELED, StopCause.REQUESTED)
    assert "none of its runs is left in Azure" in capsys.readouterr().out


def test_reason_is_in_audit_trail(play: Play) -> None:
    """The reason and the user are in the audit trail."""
    cancel(MODEL, reason="wrong data")

    stopped = next(row for row in play.ledger.audit(play.retraining.id) if row.what == "stop")
    assert "wrong data (" in stopped.detail["reason"]


def test_slow_cancellation_is_reported(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    """A cancellation that takes too long is reported and continued by reconcile."""
    play.azure.down.add("launcher.cancel")

    assert cancel(MODEL, reason="wrong data", wait=0) == 1

    assert "still canceling; reconcile continues" in capsys.readouterr().out
    play.azure.down.clear()
    play.tick()
    play.tick()
    assert play.retraining.state is RetrainingState.CANCELED


def test_json_output(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    """The JSON names the retraining and its state."""
    cancel(MODEL, reason="wrong data", json=True)

    said = json.loads(capsys.readouterr().out)
    assert (said["retraining"], said["state"]) == (play.retraining.id, "canceled")


def test_unknown_model_is_named(play: Play) -> None:
    """Canceling an unknown model is an error that names it."""
    with pytest.raises(NothingKnown, match="another-model"):
        cancel("another-model", reason="why not")


def test_ended_retraining_is_refused(play: Play) -> None:
    """A retraining that ended cannot be canceled."""
    cancel(MODEL, reason="wrong data")

    with pytest.raises(IllegalTransition):
        cancel(play.retraining.id, reason="once more")
