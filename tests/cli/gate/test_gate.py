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


def test_a_better_challenger_is_promoted_with_exit_code_0(scored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(scored) == 0
    said = capsys.readouterr().out
    assert said.startswith("PROMOTE  challenger better by ")
    assert "rows needed for two equally good models to pass in 80% of cases" in said
    assert "\x1b" not in said  # no terminal: no colour


def test_a_worse_one_and_one_nobody_can_tell_exit_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for errors, outcome in (((0.05, 0.2), "REJECT"), ((0.1, 0.1), "INCONCLUSIVE")):
        path = tmp_path / f"{outcome}.csv"
        pd.DataFrame(classified(500, errors=errors)).to_csv(path, index=False)
        assert run(path) == 1
        assert capsys.readouterr().out.startswith(outcome)


def test_json_is_the_report_that_goes_into_the_tag(scored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = gate(metric="f1", slices={"columns": ["region"]})
    assert run(scored, "--gate", asked.model_dump_json(), "--figure", "latency_ms=12", "--json") == 0
    report = parse_evaluation(capsys.readouterr().out)
    assert report == compare(pd.read_parquet(scored), asked, figures={"latency_ms": 12.0})
    assert judge_gate(asked, report).outcome is GateOutcome.PROMOTE


def test_slices_are_listed_worst_first_and_limits_with_their_value(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
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


def test_the_gate_may_come_from_a_policy(scored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
def test_what_does_not_go_together_is_refused(scored: Path, words: list[str], error: type[Exception]) -> None:
    with pytest.raises(error):
        run(scored, *words)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidTable, match=r"absent\.parquet cannot be read"):
        run(tmp_path / "absent.parquet")


@pytest.mark.parametrize(("errors", "code"), [((0.2, 0.05), 0), ((0.05, 0.2), 1)])
def test_a_commands_answer_is_the_exit_code_of_the_process(
    tmp_path: Path, errors: tuple[float, float], code: int
) -> None:
    path = tmp_path / "scored.parquet"
    pd.DataFrame(classified(3000, errors=errors)).to_parquet(path)
    ended = subprocess.run(
        [sys.executable, "-m", "anew", "gate", "compare", str(path)], capture_output=True, check=False, text=True
    )
    assert ended.returncode == code, ended.stderr


@pytest.mark.parametrize("values", [(-0.02, 0.0, 0.03, -0.01), (0.1, 0.2, 0.3, -0.01), (-5.0, -4.0, -3.0, -0.01)])
def test_the_picture_keeps_the_order_of_what_it_shows(values: tuple[float, float, float, float]) -> None:
    lower, difference, upper, limit = values
    drawn = picture("mae", lower, difference, upper, limit)
    places = [drawn.index(mark, drawn.index(" ") + 1) for mark in "[|]"]
    assert places == sorted(places)
    if limit < lower:
        assert drawn.index("!") < drawn.index("[")
