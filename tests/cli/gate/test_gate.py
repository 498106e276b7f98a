"""`anew gate compare`: what it prints, how it exits, and that the picture tells the truth without colour."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from anew.cli import app
from anew.cli.gate.picture import picture
from anew.core.gate import GateOutcome, compare, judge_gate, parse_evaluation
from anew.errors import InvalidPolicy, InvalidRequest, InvalidTable
from tests.core.gate.samples import classified, gate
from tests.core.policies.samples import MINIMAL


@pytest.fixture
def scored(tmp_path: Path) -> Path:
    path = tmp_path / "scored.parquet"
    pd.DataFrame(classified(4000, errors=(0.2, 0.05))).to_parquet(path)
    return path


def run(*words: Any) -> int:
    return int(app(["gate", "compare", *map(str, words)]))


def test_better_challenger_exits_0(scored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A better challenger is promoted with exit code 0."""
    assert run(scored) == 0
    said = capsys.readouterr().out
    assert said.startswith("PROMOTE  challenger better by ")
    assert "rows needed for two equally good models to pass in 80% of cases" in said
    assert "\x1b" not in said  # no terminal: no colour


def test_other_outcomes_exit_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A rejected or inconclusive challenger exits with 1."""
    for errors, outcome in (((0.05, 0.2), "REJECT"), ((0.1, 0.1), "INCONCLUSIVE")):
        path = tmp_path / f"{outcome}.csv"
        pd.DataFrame(classified(500, errors=errors)).to_csv(path, index=False)
        assert run(path) == 1
        assert capsys.readouterr().out.startswith(outcome)


def test_json_is_the_report(scored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The JSON is the evaluation report that is stored in the tag."""
    asked = gate(metric="f1", slices={"columns": ["region"]})
    assert run(scored, "--gate", asked.model_dump_json(), "--figure", "latency_ms=12", "--json") == 0
    report = parse_evaluation(capsys.readouterr().out)
    assert report == compare(pd.read_parquet(scored), asked, figures={"latency_ms": 12.0})
    assert judge_gate(asked, report).outcome is GateOutcome.PROMOTE


def test_slices_and_floors_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Slices are listed with the worst first, and floors with their value."""
    rows = classified(4000, errors=(0.2, 0.05))
    rows["challenger"] = np.where(rows["region"] == "sea", 1 - rows["label"], rows["challenger"])
    path = tmp_path / "scored.parquet"
    pd.DataFrame(rows).to_parquet(path)
    asked = {
        "kind": "non_inferiority",
        "slices": {"columns": ["region"]},
        "floors": [{"metric": "size_mb", "at_most": 5}],
    }
    assert run(path, "--gate", json.dumps(asked), "--figure", "size_mb=7.5") == 1
    lines = capsys.readouterr().out.splitlines()
    table = next(index for index, line in enumerate(lines) if line.startswith("slice "))
    assert lines[table + 1].startswith("region=sea")
    assert lines[table + 1].rstrip().endswith("worse")
    assert "size_mb 7.5, at most 5: violated" in lines


def test_gate_from_policy(scored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The gate may come from a policy."""
    policy = tmp_path / "elec2.yaml"
    policy.write_text(MINIMAL + "\ngate: {kind: superiority, margin: 0.5}\n")
    assert run(scored, "--policy", policy) == 1
    assert capsys.readouterr().out.startswith("REJECT")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--gate", "{}"], InvalidPolicy),
        (["--gate", "{}", "--policy", "p.yaml"], InvalidRequest),
        (["--figure", "latency"], InvalidRequest),
    ],
)
def test_conflicting_options_are_refused(scored: Path, words: list[str], error: type[Exception]) -> None:
    """Options that conflict or are invalid are refused."""
    with pytest.raises(error):
        run(scored, *words)


def test_unreadable_file_is_named(tmp_path: Path) -> None:
    """A file that cannot be read is named."""
    with pytest.raises(InvalidTable, match=r"absent\.parquet cannot be read"):
        run(tmp_path / "absent.parquet")


@pytest.mark.parametrize(("errors", "code"), [((0.2, 0.05), 0), ((0.05, 0.2), 1)])
def test_outcome_sets_exit_code(tmp_path: Path, errors: tuple[float, float], code: int) -> None:
    """The outcome of the command is the exit code of the process."""
    path = tmp_path / "scored.parquet"
    pd.DataFrame(classified(3000, errors=errors)).to_parquet(path)
    ended = subprocess.run(
        [sys.executable, "-m", "anew", "gate", "compare", str(path)], capture_output=True, check=False, text=True
    )
    assert ended.returncode == code, ended.stderr


@pytest.mark.parametrize("values", [(-0.02, 0.0, 0.03, -0.01), (0.1, 0.2, 0.3, -0.01), (-5.0, -4.0, -3.0, -0.01)])
def test_picture_keeps_the_order(values: tuple[float, float, float, float]) -> None:
    """The picture keeps the order of its values."""
    lower, difference, upper, limit = values
    drawn = picture("mae", lower, difference, upper, limit)
    places = [drawn.index(mark, drawn.index(" ") + 1) for mark in "[|]"]
    assert places == sorted(places)
    if limit < lower:
        assert drawn.index("!") < drawn.index("[")
