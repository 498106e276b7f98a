"""`anew lineage` draws each thing of a chain once, as trees, JSON or Mermaid."""

import json

import pytest

from anew.cli import lineage as command
from anew.cli.lineage import lineage
from anew.core.rollouts.lifecycle import RolloutState
from anew.errors import InvalidRequest, NothingKnown
from tests.builders import MODEL, Play, drift_event, serve


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Play:
    """Two events of drift trained 4, which serves."""
    play = Play()
    serve(play.azure, "3")
    play.receive(drift_event("first"), drift_event("second"))
    play.tick_until(lambda: bool(play.ledger.rollouts([RolloutState.LIVE])))
    monkeypatch.setattr(command, "load_settings", lambda: None)
    monkeypatch.setattr(command, "open_ledger", lambda _: play.ledger)
    return play


def test_chain_from_event_to_traffic(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    """The chain is drawn from the event down to the traffic."""
    lineage(f"{MODEL}:4")

    said = capsys.readouterr().out
    order = [
        "event event-first",
        f"decision {play.retraining.decision_id} retrain",
        f"retraining {play.retraining.id} registered",
        "gate promote",
        "compared with version price:3",
        "version price:4",
        f"rollout {play.rollout.id} released to online/price-online: live",
        "traffic serves 100 % of online/price-online",
    ]
    places = [said.index(each) for each in order]
    assert places == sorted(places)


def test_second_cause_refers_to_first(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    """A second cause refers to what is already drawn."""
    lineage(MODEL)

    said = capsys.readouterr().out
    after = said[said.index("event event-second") :]
    assert f"↑ decision {play.retraining.decision_id}" in after
    assert "version price:4" not in after


def test_json_has_nodes_and_edges(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    """The JSON has nodes and the edges between them."""
    lineage(play.rollout.id, json=True)

    drawn = json.loads(capsys.readouterr().out)
    ids = {node["id"] for node in drawn["nodes"]}
    assert {f"{MODEL}:4", play.rollout.id, play.retraining.id} <= ids
    assert all(edge["source"] in ids and edge["target"] in ids for edge in drawn["edges"])


def test_mermaid_is_a_flowchart(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    """The Mermaid output is a flowchart."""
    lineage(MODEL, mermaid=True)

    assert capsys.readouterr().out.startswith("flowchart LR\n")


def test_two_formats_are_refused(play: Play) -> None:
    """Two output formats at once are refused."""
    with pytest.raises(InvalidRequest):
        lineage(MODEL, json=True, mermaid=True)


def test_unknown_name_is_reported(play: Play) -> None:
    """An unknown name is an error that names it."""
    with pytest.raises(NothingKnown, match="another"):
        lineage("another")
