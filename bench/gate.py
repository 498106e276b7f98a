"""The gate on 100,000 rows with 10,000 bootstrap replicates, beside resampling the rows, in the same run.

Ours is all of it: hashing the rows, both models' metric, the bounds, the verdict. Accuracy and AUC need no replicates
in the gate (Bonett-Price, DeLong); the bootstrap of accuracy is timed by itself. Naive resampling draws row numbers
and computes the metric again, 10,000 times for accuracy; for the others fewer times, and multiplied.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anew.core.gate import compare, judge_gate
from anew.core.gate.auc import placements
from anew.core.gate.resampling import REPLICATES
from anew.core.policies.gate import Gate

_ROWS = 100_000
_RUNS = 15
_FEW = 50  # replicates of what would take minutes

Rows = dict[str, NDArray[Any]]
Value = Callable[[Rows, str, NDArray[np.int64]], float]


def main() -> None:
    """Print the median milliseconds of each gate, of naive resampling, and how many times as long that takes."""
    rows = _rows()
    print(f"{_ROWS:,} rows, {REPLICATES:,} replicates, median of {_RUNS} runs")
    gates: dict[str, tuple[dict[str, Any], Value, int]] = {
        "accuracy": ({}, _accuracy, REPLICATES),
        "accuracy, blocks": ({"block": "day"}, _accuracy, 0),
        "F1": ({"metric": "f1"}, _f1, _FEW),
        "F1, blocks": ({"metric": "f1", "block": "day"}, _f1, 0),
        "AUC": ({"metric": "auc"}, _auc, _FEW),
        "AUC, blocks": ({"metric": "auc", "block": "day"}, _auc, 0),
        "MAE": ({"metric": "mae"}, _mae, _FEW),
        "RMSE": ({"metric": "rmse"}, _rmse, _FEW),
        "MAE, blocks": ({"metric": "mae", "block": "day"}, _mae, 0),
        "accuracy, 12 slices": ({"slices": {"columns": ["region"]}}, _accuracy, 0),
    }
    for words, (asked, value, replicates) in gates.items():
        gate = Gate.model_validate({"kind": "non_inferiority", **asked})
        ours = _median(lambda gate=gate: judge_gate(gate, compare(_columns(rows, gate), gate)))
        print(f"{words:<52} {ours:12.1f} ms", flush=True)
        if replicates:
            _print_naive(rows, value, replicates, ours)
    print(f"{'bootstrap of accuracy, by itself':<52} {_median(lambda: _trick(rows)):12.1f} ms")


def _rows() -> Rows:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, _ROWS)
    champion, challenger = (np.where(rng.random(_ROWS) < 0.1, 1 - label, label) for _ in range(2))
    return {
        "label": label,
        "champion": champion,
        "challenger": challenger,
        "champion_score": champion + rng.normal(size=_ROWS),
        "challenger_score": challenger + rng.normal(size=_ROWS),
        "day": np.arange(_ROWS) // 100,
        "region": rng.integers(0, 12, _ROWS),
    }


def _columns(rows: Rows, gate: Gate) -> Rows:
    """The columns that this gate reads."""
    models = ("champion_score", "challenger_score") if gate.metric == "auc" else ("champion", "challenger")
    others = ("day",) if gate.block else ("region",) if gate.slices else ()
    return {name: rows[name] for name in ("label", *models, *others)}


def _trick(rows: Rows) -> float:
    right = [rows[name] == rows["label"] for name in ("champion", "challenger")]
    only = [int(np.count_nonzero(right[one] & ~right[1 - one])) for one in (0, 1)]
    cells = np.array([*only, _ROWS - sum(only)]) / _ROWS
    drawn = np.random.default_rng(0).multinomial(_ROWS, cells, size=REPLICATES)
    return float(np.quantile(drawn[:, 1] - drawn[:, 0], 0.05)) / _ROWS


def _print_naive(rows: Rows, value: Value, replicates: int, ours: float) -> None:
    rng = np.random.default_rng(0)
    began = time.perf_counter()
    for _ in range(replicates):
        drawn = rng.integers(0, _ROWS, _ROWS)
        value(rows, "challenger", drawn) - value(rows, "champion", drawn)
    taken = (time.perf_counter() - began) * REPLICATES / replicates * 1000
    scaled = "" if replicates == REPLICATES else f" ({replicates} replicates, multiplied)"
    print(f"  naive resampling{scaled:<34} {taken:12,.0f} ms {taken / ours:8,.0f} times", flush=True)


def _median(work: Callable[[], object]) -> float:
    taken: list[float] = []
    for _ in range(_RUNS + 1):
        began = time.perf_counter()
        work()
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken[1:])


def _accuracy(rows: Rows, model: str, drawn: NDArray[np.int64]) -> float:
    return float((rows[model][drawn] == rows["label"][drawn]).mean())


def _f1(rows: Rows, model: str, drawn: NDArray[np.int64]) -> float:
    label, answer = rows["label"][drawn], rows[model][drawn]
    return float(2 * (label & answer).sum() / (label.sum() + answer.sum()))


def _auc(rows: Rows, model: str, drawn: NDArray[np.int64]) -> float:
    positive = rows["label"][drawn] == 1
    return float(placements(positive, rows[f"{model}_score"][drawn])[positive].mean())


def _mae(rows: Rows, model: str, drawn: NDArray[np.int64]) -> float:
    return float(np.abs(rows[model][drawn] - rows["label"][drawn]).mean())


def _rmse(rows: Rows, model: str, drawn: NDArray[np.int64]) -> float:
    return float(np.sqrt(((rows[model][drawn] - rows["label"][drawn]) ** 2).mean()))
