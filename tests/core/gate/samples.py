"""Scored rows and gates for the tests, and the metrics written down as plainly as they are defined."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from anew.core.gate import EvaluationResult, Interval, Method, PairedCounts, evaluation_of_counts
from anew.core.policies.gate import Gate

GATE = Gate(kind="non_inferiority", margin=0.01, min_rows=300)


def gate(**changes: Any) -> Gate:
    return Gate.model_validate({"kind": "non_inferiority", **changes})


def counted(rows: int, worse: int, better: int, both: int = 0) -> EvaluationResult:
    return evaluation_of_counts(rows, "h", PairedCounts(both + better, both + worse, worse, better))


def measured(difference: float, error: float, *, rows: int = 1000, **changes: Any) -> EvaluationResult:
    """An evaluation by F1 with normal bounds at 95 %."""
    reach = 1.6448536 * error
    interval = Interval(
        difference, difference - reach, difference + reach, 0.95, Method.PAIRED_BOOTSTRAP, error, rows, rows // 10
    )
    told = {"rows": rows, "data_hash": "h", "challenger": 0.8 + difference, "champion": 0.8, "metric": "f1"}
    return EvaluationResult(**{**told, "interval": interval, **changes})


def classified(
    rows: int, *, seed: int = 0, errors: tuple[float, float] = (0.1, 0.1), classes: int = 2
) -> dict[str, NDArray[Any]]:
    """Labels, both models' answers and scores, a region of five and a day of 20 rows."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, classes, rows)
    answers = [np.where(rng.random(rows) < share, (label + 1) % classes, label) for share in errors]
    return {
        "label": label,
        "champion": answers[0],
        "challenger": answers[1],
        "champion_score": answers[0] + rng.normal(size=rows).round(1),
        "challenger_score": answers[1] + rng.normal(size=rows).round(1),
        "region": np.array(["north", "south", "east", "west", "sea"])[rng.integers(0, 5, rows)],
        "day": np.arange(rows) // 20,
    }


def predicted(rows: int, *, seed: int = 0, worse: float = 0.0) -> dict[str, NDArray[Any]]:
    """Values and both models' predictions of them, the challenger's with this much more error."""
    rng = np.random.default_rng(seed)
    label = rng.normal(size=rows)
    return {
        "label": label,
        "champion": label + rng.normal(size=rows),
        "challenger": label + rng.normal(size=rows) * (1 + worse),
        "day": np.arange(rows) // 20,
    }
