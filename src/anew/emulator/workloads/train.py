"""Trains a classifier, or a regressor, on a window of the newest rows, leaving the very newest for evaluation."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from anew.emulator.workloads import Run
from anew.emulator.workloads.model_io import Classifier, one_thread, save_model
from anew.emulator.workloads.table import Table, read_table


def main(argv: Sequence[str], run: Run) -> None:
    """Train, save the model in MLflow's layout and tag the run with its training data.

    Tags: ``train_rows``; ``train_from`` and ``train_to``, row positions in the data, without the last;
    ``data_hash`` of the training rows.
    """
    options = _parser().parse_args(argv)
    table = read_table(options.data, options.label)
    rows = training_window(table, train_rows=options.train_rows, holdout_rows=options.holdout_rows)
    classifier = fit(rows, seed=options.seed)
    save_model(options.out, classifier, rows.columns)
    run.set_tag("train_rows", str(len(rows)))
    run.set_tag("train_from", str(rows.first))
    run.set_tag("train_to", str(rows.first + len(rows)))
    run.set_tag("data_hash", rows.data_hash())
    predicted = classifier.predict(rows.features)
    if rows.is_classification:
        run.log_metric("train_accuracy", float((predicted == rows.labels).mean()))
    else:
        run.log_metric("train_mae", float(np.abs(predicted - rows.labels).mean()))


def training_window(table: Table, *, train_rows: int, holdout_rows: int) -> Table:
    """At most train_rows rows, the ones just before the newest holdout_rows.

    Raises:
        ValueError: the held-out rows leave none to train on.
    """
    stop = len(table) - holdout_rows
    if stop < 1 or train_rows < 1:
        raise ValueError(f"{len(table)} rows leave none to train on when {holdout_rows} are held out")
    return table.window(max(0, stop - train_rows), stop)


def fit(rows: Table, *, seed: int) -> Classifier:
    """Gradient-boosted trees fitted to the rows: a classifier, or a regressor for labels that are not whole."""
    from sklearn import ensemble  # pyright: ignore[reportMissingTypeStubs]

    kind: Any = ensemble.HistGradientBoostingClassifier
    if not rows.is_classification:
        kind = ensemble.HistGradientBoostingRegressor
    classifier: Any = kind(max_iter=60, max_leaf_nodes=15, random_state=seed)
    with one_thread():
        return cast(Classifier, classifier.fit(rows.features, rows.labels))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="train", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="Parquet or CSV file, rows in time order")
    parser.add_argument("--label", required=True, help="name of the label column")
    parser.add_argument("--train-rows", type=int, required=True, help="rows to train on")
    parser.add_argument("--holdout-rows", type=int, required=True, help="newest rows to leave out")
    parser.add_argument("--out", type=Path, required=True, help="folder to write the model to")
    parser.add_argument("--seed", type=int, default=0, help="seed of the training")
    return parser
