"""The installed `anew`: every command answers `--help`, and one command of each group runs from start to exit code."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from cyclopts import App

from anew.cli import app
from anew.core.events.event import EventType
from tests.builders import MODEL
from tests.core.gate.samples import classified
from tests.core.policies.samples import MINIMAL
from tests.event_data import WORKSPACE, load

DRIFT = json.dumps(load("drift.grid.batch.json"))
ANEW = Path(sys.executable).with_name("anew")


def run(*words: str, cwd: Path | None = None, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the executable to its end."""
    return subprocess.run([ANEW, *words], cwd=cwd, input=text, capture_output=True, text=True, check=False, timeout=60)


def commands(of: App, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of each command and group, as the app knows them."""
    for name in of:
        if not name.startswith("-"):
            yield (*path, name)
            yield from commands(of[name], (*path, name))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with settings, a ledger to be created, and one policy."""
    monkeypatch.delenv("ANEW_SETTINGS", raising=False)
    names = ("subscription_id", "resource_group", "workspace")
    values = (WORKSPACE.subscription_id, WORKSPACE.resource_group, WORKSPACE.name)
    azure = "\n".join(f'{name} = "{value}"' for name, value in zip(names, values, strict=True))
    (tmp_path / "anew.toml").write_text(f'ledger = "sqlite:///ledger.db"\npolicies = "policies"\n[azure]\n{azure}\n')
    (tmp_path / "policies" / "jobs").mkdir(parents=True)
    (tmp_path / "policies" / "jobs" / "evaluate.yml").touch()
    (tmp_path / "policies" / "one.yaml").write_text(MINIMAL)
    return tmp_path


@pytest.mark.parametrize("words", [(), *commands(app)], ids=" ".join)
def test_help(words: tuple[str, ...]) -> None:
    """A command whose module cannot be imported, or whose parameters cannot be parsed, fails here."""
    ended = run(*words, "--help")

    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith(f"Usage: {' '.join(('anew', *words))}")


def test_events_parse() -> None:
    """Events come from standard input; one that is rejected makes the exit code 2."""
    ended = run("events", "parse", "-", text=json.dumps([*json.loads(DRIFT), {}]))

    [event] = map(json.loads, ended.stdout.splitlines())
    assert event["type"] == EventType.DATASET_DRIFT_DETECTED
    assert (ended.returncode, "event 2: rejected" in ended.stderr) == (2, True)


def test_policy_explain(folder: Path) -> None:
    """A policy decides about events of standard input, and nothing is recorded."""
    ended = run("policy", "explain", "policies/one.yaml", "--event", "-", "--json", cwd=folder, text=DRIFT)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert set(json.loads(ended.stdout)) == {"model", "outcome", "tree", "evidence", "ignored"}
    assert not (folder / "ledger.db").exists()


def test_policy_check(folder: Path) -> None:
    """A good folder exits 0; a wrong policy exits 2 and is named on standard error."""
    good = run("policy", "check", "--json", "policies/one.yaml", cwd=folder)
    (folder / "policies" / "two.yaml").write_text("model: 1\n")
    bad = run("policy", "check", "policies/two.yaml", cwd=folder)

    assert json.loads(good.stdout)["problems"] == []
    assert (good.returncode, bad.returncode) == (0, 2)
    assert bad.stderr.startswith("error: ")
    assert "two.yaml" in bad.stderr


@pytest.mark.parametrize(("errors", "code"), [((0.2, 0.05), 0), ((0.05, 0.2), 1)])
def test_gate_compare(tmp_path: Path, errors: tuple[float, float], code: int) -> None:
    """The verdict is the exit code of the process."""
    pd.DataFrame(classified(3000, errors=errors)).to_parquet(tmp_path / "scored.parquet")

    ended = run("gate", "compare", "scored.parquet", cwd=tmp_path)

    assert ended.returncode == code, ended.stderr


def test_ledger_upgrade(folder: Path) -> None:
    """An upgrade creates the ledger of the settings, and may be repeated."""
    first, again = (run("ledger", "upgrade", "--json", cwd=folder) for _ in range(2))

    assert json.loads(first.stdout) == json.loads(again.stdout)
    assert (folder / "ledger.db").is_file()


def test_status(folder: Path) -> None:
    """A command on a fresh ledger prints JSON with its documented keys."""
    ended = run("status", "--json", cwd=folder)

    assert set(json.loads(ended.stdout)) == {"inbox", "decisions", "retrainings", "rollouts", "ignored"}


@pytest.mark.parametrize("command", ["explain", "history", "lineage"])
def test_unknown_id(folder: Path, command: str) -> None:
    """What the ledger does not know exits 1 with a message, not a traceback."""
    ended = run(command, f"no-{MODEL}", cwd=folder)

    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("error: ")
    assert f"no-{MODEL}" in ended.stderr


def test_bad_option() -> None:
    """An option that a command does not have is bad input."""
    assert run("rollback", MODEL, "--why", "because").returncode == 2
