"""The metrics of drift monitors: a domain classifier's coefficient, and Azure ML's metrics per feature; pure.

The per-feature formulas and bins follow Azure ML's monitor components: equal-width bins over the joint range, their
number by Sturges' rule, and a breach only above the threshold.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Column = NDArray[np.float64]
Rows = NDArray[np.float64]

_FOLDS: Final = 3
_LEAST_DEVIATION: Final = 0.001


@dataclass(frozen=True)
class Reading:
    """The value that a monitor measured for one feature, and its threshold."""

    feature: str
    metric: str
    value: float
    threshold: float

    @property
    def is_breach(self) -> bool:
        """Whether the value is above the threshold; equality is not a breach."""
        return self.value > self.threshold


def drift_coefficient(baseline: Rows, current: Rows, *, seed: int = 0) -> float:
    """How well a small classifier distinguishes current rows from baseline rows, in 0..1.

    The Matthews correlation of its cross-validated guesses on equally many rows of both, at least 0: 0 when they cannot
    be distinguished, 1 when they always can. That the v1 monitor's coefficient is of this kind is documented, its
    classifier is (unverified).
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    dice, count = np.random.default_rng(seed), min(len(baseline), len(current))
    # Samples of equal size, not equal weights: weights make the classifier's binning ten times as slow.
    rows = np.vstack([side[np.sort(dice.choice(len(side), count, replace=False))] for side in (baseline, current)])
    is_current = np.repeat((False, True), count)
    # The same share of both in each fold, at random rows.
    order = dice.permutation(len(rows))
    fold = np.empty(len(rows), dtype=np.int64)
    fold[order[np.argsort(is_current[order], kind="stable")]] = np.arange(len(rows)) % _FOLDS
    guessed = np.zeros(len(rows), dtype=np.bool_)
    make: Any = HistGradientBoostingClassifier
    # On so few rows threads cost more than they save, especially on a busy machine.
    with threadpool_limits(1):
        for held_out in (fold == number for number in range(_FOLDS)):
            classifier = make(max_iter=10, learning_rate=0.3, max_leaf_nodes=8)
            classifier.set_params(early_stopping=False, random_state=seed)
            classifier.fit(rows[~held_out], is_current[~held_out])
            guessed[held_out] = classifier.predict(rows[held_out])
    return max(0.0, matthews_correlation(is_current, guessed))


def matthews_correlation(actual: NDArray[np.bool_], guessed: NDArray[np.bool_]) -> float:
    """The Matthews correlation coefficient of two binary vectors, in -1..1; 0 when either is constant."""
    from sklearn.metrics import matthews_corrcoef

    return float(matthews_corrcoef(actual, guessed))


def normalized_wasserstein_distance(baseline: Column, current: Column) -> float:
    """The area between the two empirical distribution functions, in standard deviations of the baseline."""
    from scipy.stats import wasserstein_distance

    # Spark's stddev, by which the component divides, is over n - 1.
    deviation = float(np.std(baseline, ddof=1)) if len(baseline) > 1 else 0.0
    return float(wasserstein_distance(baseline, current)) / max(deviation, _LEAST_DEVIATION)


def jensen_shannon_distance(baseline: Column, current: Column) -> float:
    """The square root of the Jensen-Shannon divergence to base 2 of the two histograms, in 0..1."""
    from scipy.special import rel_entr

    first, second = (counts / counts.sum() for counts in _histograms(baseline, current))
    middle = (first + second) / 2
    divergence = float(np.sum(rel_entr(first, middle) + rel_entr(second, middle))) / (2 * math.log(2))
    return math.sqrt(max(0.0, divergence))


def population_stability_index(baseline: Column, current: Column) -> float:
    """The population stability index of the two histograms, their counts smoothed by one."""
    first, second = ((counts + 1) / (counts + 1).sum() for counts in _histograms(baseline, current))
    return float(np.sum((second - first) * np.log(second / first)))


METRICS: Final[Mapping[str, Callable[[Column, Column], float]]] = {
    "JensenShannonDistance": jensen_shannon_distance,
    "NormalizedWassersteinDistance": normalized_wasserstein_distance,
    "PopulationStabilityIndex": population_stability_index,
}


def feature_readings(
    names: Sequence[str], baseline: Rows, current: Rows, *, metric: str, threshold: float
) -> list[Reading]:
    """The metric of every feature."""
    compute = METRICS[metric]
    return [
        Reading(name, metric, compute(baseline[:, index], current[:, index]), threshold)
        for index, name in enumerate(names)
    ]


def breach_message(signal: str, breaches: Sequence[Reading]) -> str:
    """The text Azure ML's evaluate_metrics_threshold component leaves in a run's tag: prose and a Python list."""
    lines = [
        json.dumps(
            {
                "metric_value": breach.value,
                "metric_name": breach.metric,
                "threshold_value": breach.threshold,
                "group": breach.feature,
            },
            separators=(",", ":"),
        )
        for breach in breaches
    ]
    return (
        f"The signal '{signal}' has failed due to one or more features violating metric thresholds.\n"
        "The feature names and their corresponding computed metric values violating the threshold are \n"
        f"{lines}\n"
    )


def _histograms(baseline: Column, current: Column) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    bins = int(np.ceil(np.log2(min(len(baseline), len(current))) + 1))
    low, high = min(baseline.min(), current.min()), max(baseline.max(), current.max())
    if np.any(np.diff(np.linspace(low, high, bins + 1)) <= 0):
        # No room for so many bins: one holds everything, as it does for a constant.
        low, high = low - 0.5, high + 0.5
    first, second = (np.histogram(sample, bins=bins, range=(low, high))[0] for sample in (baseline, current))
    return first.astype(np.float64), second.astype(np.float64)
