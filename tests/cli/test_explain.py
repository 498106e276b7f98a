"""`anew explain` prints the chain of an id or a model, and text of others as it is."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from msgspec import structs

from anew.cli import explain as command
from anew.cli.explain import explain
from anew.core.rollouts.lifecycle import RolloutState
from tests.builders import MODEL, Play, drift_event, serve


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Play:
    """An event with brackets in its subject trained 4, which serves; the command's ledger is that of the history."""
    play = Play()
    serve(play.azure, "3")
    play.receive(structs.replace(drift_event("first"), subject="runs/[/first]"))
    play.tick_until(lambda: bool(play.ledger.rollouts([RolloutState.LIVE])))
    monkeypatch.setattr(command, "load_settings", lambda: SimpleNamespace(policies=tmp_path))
    monkeypatch.setattr(command, "open_ledger", lambda _: play.ledger)
    return play


@pytest.mark.parametrize("about", [MODEL, f"{MODEL}:4", "event-first"])
def test_chain_from_event_to_rollout(play: Play, about: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The decision comes first, then the event, the run, the gate and the rollout, one line each."""
    explain(about)

    text = capsys.readouterr().out
    lines = [line.split()[0] for line in text.splitlines()]
    assert text.startswith(f"retrain {MODEL}  {play.retraining.decision_id}")
    assert [word for word in lines if word in {"event", "run", "gate", "deploy"}] == ["event", "run", "gate", "deploy"]
    assert "runs/[/first] (webhook, 1 delivery)" in text


def test_json_keys(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    """JSON has the parts of the chain, its audit trail, and the ignored events."""
    explain(play.rollout.id, json=True)

    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["events", "decision", "retraining", "rollouts", "audit", "ignored"]
    assert [each["id"] for each in found["rollouts"]] == [play.rollout.id]
