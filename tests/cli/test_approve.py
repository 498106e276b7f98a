"""`anew approve` and `anew reject` give a person's word, say what follows, and need no Azure."""

import getpass
import json

import pytest

from anew.cli import approve as command
from anew.cli.approve import approve, reject
from anew.core.retrainings.lifecycle import ApprovalDecision, RetrainingState
from anew.engine.base.ledger import Ledger
from anew.errors import IllegalTransition, InvalidRequest
from anew.settings import Settings
from tests.builders import MODEL, Play, drift_event, policy, serve


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Play:
    """A candidate that waits for an answer, for ten years: the command's clock is not the history's."""
    gate = {"kind": "non_inferiority", "approval": {"timeout": "3650d"}}
    play = Play().with_policies(policy(gate=gate))
    serve(play.azure, "3")
    play.receive(drift_event())
    play.tick()
    play.tick_until(lambda: play.retraining.state is RetrainingState.AWAITING_APPROVAL)

    def open_ledger(_: Settings) -> Ledger:
        return play.ledger

    monkeypatch.setattr(command, "open_ledger", open_ledger)
    return play


def test_approval_records_who(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    """An approval records who gave it and says what follows."""
    approve(MODEL, reason="looks right")

    assert (play.retraining.approval, play.retraining.approval_by) == (ApprovalDecision.APPROVED, getpass.getuser())
    out = capsys.readouterr().out
    assert "reconcile registers it" in out
    assert out.rstrip().endswith(f"anew explain {play.retraining.id}")


def test_rejection_ends_retraining(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    """A rejection ends the retraining with its reason."""
    reject(play.retraining.id, reason="too risky", json=True)

    said = json.loads(capsys.readouterr().out)
    assert (said["state"], said["approval"], said["reason"]) == ("rejected", "rejected", "too risky")


def test_forcing_requires_a_reason(play: Play) -> None:
    """A rejected candidate can be approved only by force and with a reason."""
    reject(MODEL, reason="too risky")
    with pytest.raises(IllegalTransition):
        approve(MODEL, reason="after all")
    with pytest.raises(InvalidRequest):
        approve(MODEL, reason="", force=True)

    approve(MODEL, reason="after all", force=True)

    assert (play.retraining.state, play.retraining.approval) == (RetrainingState.REGISTERING, ApprovalDecision.FORCED)
