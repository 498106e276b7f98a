"""Scores champion and challenger on the same newest rows and leaves the paired counts in a tag."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from anew.emulator.workloads import Run
from anew.emulator.workloads.model_io import load_model
from anew.emulator.workloads.table import Table, read_table

EVALUATION_TAG: Final = "anew_evaluation"


def main(argv: Sequence[str], run: Run) -> None:
    """Evaluate both models and set the one tag ``anew_evaluation`` to compact JSON."""
    options = _parser().parse_args(argv)
    table = read_table(options.data, options.label)
    rows = table.window(max(0, len(table) - options.rows), len(table))
    champion, challenger = (_correct(folder, rows) for folder in (options.champion, options.challenger))
    counts = paired_counts(champion, challenger)
    run.set_tag(EVALUATION_TAG, json.dumps(_evaluation(rows, counts), separators=(",", ":")))
    run.log_metric("champion_accuracy", counts["champion_correct"] / len(rows))
    run.log_metric("challenger_accuracy", counts["challenger_correct"] / len(rows))


def paired_counts(champion: NDArray[np.bool_], challenger: NDArray[np.bool_]) -> dict[str, int]:
    """How often each model, and only that model, was right on the same rows."""
    return {
        "champion_correct": int(champion.sum()),
        "challenger_correct": int(challenger.sum()),
        "only_champion": int((champion & ~challenger).sum()),
        "only_challenger": int((challenger & ~champion).sum()),
    }


def _evaluation(rows: Table, counts: dict[str, int]) -> dict[str, Any]:
    return {"task": "classification", "rows": len(rows), "data_hash": rows.data_hash(), **counts}


def _correct(folder: Path, rows: Table) -> NDArray[np.bool_]:
    return load_model(folder).predict(rows.columns, rows.features) == rows.labels


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="evaluate", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="Parquet or CSV file, rows in time order")
    parser.add_argument("--label", required=True, help="name of the label column")
    parser.add_argument("--rows", type=int, required=True, help="newest rows to score")
    parser.add_argument("--champion", type=Path, required=True, help="folder of the model in production")
    parser.add_argument("--challenger", type=Path, required=True, help="folder of the candidate model")
    return parser
