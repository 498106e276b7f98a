"""Scores champion and challenger on the same newest rows, and writes the report of their comparison to a tag.

A user's own evaluation job does the same: it scores both models on the same rows, compares them by the gate that anew
passes to it (`compare`), and sets the tag.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pandas as pd

from anew.core.gate import compare, parse_gate, report_text
from anew.emulator.workloads import Run
from anew.emulator.workloads.model_io import load_model
from anew.emulator.workloads.table import Table, read_table

EVALUATION_TAG: Final = "anew_evaluation"
SCORED_FILE: Final = "scored.parquet"
_MODELS: Final = ("champion", "challenger")


def main(argv: Sequence[str], run: Run) -> None:
    """Evaluate both models and set the one tag ``anew_evaluation`` to compact JSON.

    Metrics: ``champion_`` and ``challenger_`` with the gate's metric, and ``rows``.
    """
    options = _parser().parse_args(argv)
    gate = parse_gate(options.gate)
    table = read_table(options.data, options.label)
    rows = table.window(max(0, len(table) - options.rows), len(table))
    scored = score(rows, {name: folder for name in _MODELS if (folder := getattr(options, name))})
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        scored.to_parquet(options.out / SCORED_FILE)
    size = sum(file.stat().st_size for file in options.challenger.rglob("*") if file.is_file())
    report = compare(scored, gate, figures={"size_mb": size / 1e6}, data_hash=rows.data_hash())
    run.set_tag(EVALUATION_TAG, report_text(report))
    run.log_metric("rows", report.rows)
    run.log_metric(f"challenger_{report.metric}", report.challenger)
    if report.champion is not None:
        run.log_metric(f"champion_{report.metric}", report.champion)


def score(rows: Table, folders: dict[str, Path]) -> pd.DataFrame:
    """The rows with the prediction of each model in these folders, and the score of a classifier of two classes."""
    scored = pd.DataFrame(rows.features, columns=list(rows.columns))
    scored["label"] = rows.labels
    for name, folder in folders.items():
        model = load_model(folder)
        scored[name] = model.predict(rows.columns, rows.features)
        scores = model.scores(rows.columns, rows.features)
        if scores is not None:
            scored[f"{name}_score"] = scores
    return scored


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="evaluate", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="Parquet or CSV file, rows in time order")
    parser.add_argument("--label", required=True, help="name of the label column")
    parser.add_argument("--rows", type=int, required=True, help="newest rows to score")
    parser.add_argument("--champion", type=Path, help="folder of the model in production, if there is one")
    parser.add_argument("--challenger", type=Path, required=True, help="folder of the candidate model")
    parser.add_argument("--gate", default='{"kind": "non_inferiority"}', help="the policy's gate as JSON")
    parser.add_argument("--out", type=Path, help="folder for the scored rows")
    return parser
