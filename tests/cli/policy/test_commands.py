"""`anew policy`: what it prints, how it exits, and that looking changes nothing."""

import json
from pathlib import Path

import pytest

from anew.cli import app
from anew.core.policies.text import schema_text
from anew.errors import InvalidPolicy, MalformedBody, UnknownModel
from tests.core.policies.samples import MINIMAL

DRIFT = {
    "topic": "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w",
    "eventType": "Microsoft.MachineLearningServices.DatasetDriftDetected",
    "subject": "datadrift/a/run/b",
    "eventTime": "2017-06-26T18:41:00Z",
    "id": "event-1",
    "data": {"dataDriftName": "elec2-drift", "runId": "b", "driftCoefficient": 0.83},
}
# Never stale, and nothing to ask but the event.
LASTING = MINIMAL.replace("limits:", "evidence: {max_age: 3650d}\nlimits:").replace(
    "    - {kind: threshold, metric: accuracy, below: 0.76}\n", ""
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ANEW_SETTINGS", raising=False)
    (tmp_path / "elec2.yaml").write_text(LASTING)
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "evaluate.yml").write_text("type: command\n")
    (tmp_path / "event.json").write_text(json.dumps([DRIFT]))
    return tmp_path


def test_check_of_good_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Checking a good file says so."""
    assert app(["policy", "check", "elec2.yaml"]) == 0
    assert capsys.readouterr().out == "ok  elec2.yaml  keeps elec2 fresh\n"


def test_check_reports_all_paths(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Checking reports the problems of all paths together."""
    (folder / "other.yaml").write_text(LASTING.replace("anew/v1", "anew/v2"))
    assert app(["policy", "check", "elec2.yaml", "other.yaml", "absent.yaml", "--json"]) == 2
    said = json.loads(capsys.readouterr().out)
    assert (said["ok"], len(said["policies"])) == (False, 1)
    assert said["problems"][0].startswith("other.yaml:1: apiVersion: 'anew/v2' is not known")
    assert said["problems"][1].startswith("absent.yaml: cannot be read")


def test_check_raises_problems(folder: Path) -> None:
    """Checking without `--json` raises the problems."""
    (folder / "elec2.yaml").write_text("model: [")
    with pytest.raises(InvalidPolicy, match=r"elec2\.yaml:\d: not valid YAML"):
        app(["policy", "check", "elec2.yaml"])


def test_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """The printed schema is the one that editors get."""
    app(["policy", "schema"])
    assert capsys.readouterr().out == schema_text()


def test_explain_decides_without_ledger(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Explaining decides on the event and creates no ledger."""
    assert app(["policy", "explain", "elec2.yaml", "--event", "event.json", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["model"], said["outcome"], said["ignored"]) == ("elec2", "retrain", [])
    assert said["evidence"]["signals"][0]["value"] == 0.83
    assert not (folder / ".anew").exists()


def test_explain_names_ignored_events(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Explaining names the events it ignores, and why."""
    other = {**DRIFT, "data": {"dataDriftName": "prices", "runId": "b", "driftCoefficient": 0.83}}
    (folder / "event.json").write_text(json.dumps(other))
    app(["policy", "explain", "elec2.yaml", "--event", "event.json"])
    shown = " ".join(capsys.readouterr().out.split())
    assert shown.startswith("? insufficient")
    assert "ignored DatasetDriftDetected event-1 is about prices; the policy of elec2 watches elec2-drift" in shown


def test_explain_without_event(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Explaining without an event asks only the sources."""
    app(["policy", "explain", "elec2.yaml"])
    assert "there is no value of drift_coefficient" in " ".join(capsys.readouterr().out.split())


def test_explain_broken_event(folder: Path) -> None:
    """Explaining a broken event is an error that names it."""
    (folder / "event.json").write_text("[{}]")
    with pytest.raises(MalformedBody, match=r"event\.json: event 1"):
        app(["policy", "explain", "elec2.yaml", "--event", "event.json"])


def test_explain_requires_a_model(folder: Path) -> None:
    """Explaining a policy of several models asks for one of them."""
    several = LASTING.replace("model: elec2\n", "models: [{model: a}, {model: b}]\n")
    (folder / "elec2.yaml").write_text(several)
    with pytest.raises(UnknownModel) as raised:
        app(["policy", "explain", "elec2.yaml"])
    assert raised.value.advice == "Choose one by --model: a, b"
