"""Azure ML's formulas for one feature, with a noise floor for each that Azure does not have.

From the public component source, Azure/azureml-assets: `assets/model_monitoring/components/src/` with
`data_drift_compute_metrics/{numerical,categorical}_data_drift_metrics.py` and `shared_utilities/histogram_utils.py`,
and from pyspark's `RDD.histogram`, which counts its bins.
"""

import math
import warnings
from typing import Any, Final

import numpy as np

from anew.core.drift import noise
from anew.core.drift.columns import Categories
from anew.core.drift.distances import (
    Counts,
    Floats,
    jensen_shannon_distance,
    population_stability_index,
)
from anew.core.drift.moments import Moments
from anew.core.drift.values import Computed, Metric
from anew.core.statistics.tails import chi_squared_tail

_TOO_MANY_FOR_KOLMOGOROV: Final = 10_000
_EVEN: Final = 1e-10  # pyspark calls bins even whose widths differ by less, in the feature's unit


def numeric_metric(metric: Metric, reference: Floats, window: Floats, alpha: float) -> Computed | str:
    """A metric of two sorted samples of finite numbers, or why there is none."""
    if reference[0] == reference[-1] == window[0] == window[-1]:
        return f"both samples have one value only, {float(reference[0])!r}"
    match metric:
        case Metric.WASSERSTEIN:
            return _wasserstein(reference, window, alpha)
        case Metric.KOLMOGOROV_SMIRNOV:
            return _kolmogorov(reference, window, alpha)
        case _:
            counts = histogram_counts(reference, window)
            if counts is None:
                return "the values are too close together, or too far apart, for bins of equal width"
            return _by_counts(metric, *counts, (len(reference), len(window)), alpha)


def categorical_metric(metric: Metric, reference: Categories, window: Categories, alpha: float) -> Computed | str:
    """A metric of two columns of categories, or why there is none."""
    names = sorted(reference.counts.keys() | window.counts.keys())
    if len(names) == 1:
        return f"both samples have one value only, {names[0]!r}"
    known, seen = (np.array([each.counts.get(name, 0) for name in names]) for each in (reference, window))
    if metric is Metric.CHI_SQUARED:
        return _chi_squared(known, seen, alpha)
    return _by_counts(metric, known, seen, (reference.rows, window.rows), alpha)


def histogram_counts(reference: Floats, window: Floats) -> tuple[Counts, Counts] | None:
    """Counts in ceil(log2(rows of the smaller) + 1) bins of equal width, from the least to the greatest of both.

    None where the values are so far apart or so close together that the edges do not ascend. Each edge is rounded
    separately, so in about one case of three the last one is below the greatest value, which then is in no bin.
    """
    bins = math.ceil(math.log2(min(len(reference), len(window))) + 1)
    low, high = min(reference[0], window[0]), max(reference[-1], window[-1])
    with np.errstate(over="ignore", invalid="ignore"):
        edges = low + np.arange(bins + 1) * ((high - low) / bins)
        if not (np.isfinite(edges[-1]) and np.all(np.diff(edges) > 0)):
            return None
    return _spark_histogram(reference, edges), _spark_histogram(window, edges)


def _spark_histogram(values: Floats, edges: Floats) -> Counts:
    bins, widths = len(edges) - 1, np.diff(edges)
    inside = values[(values >= edges[0]) & (values <= edges[-1])]
    if widths.max() - widths.min() < _EVEN:
        places = ((inside - edges[0]) / ((edges[-1] - edges[0]) / bins)).astype(np.int64)
    else:
        places = np.searchsorted(edges, inside, side="right") - 1
    counts = np.bincount(places, minlength=bins + 1)
    counts[bins - 1] += counts[bins]  # the greatest value belongs to the last bin
    return counts[:bins]


def _by_counts(
    metric: Metric, reference: Counts, window: Counts, rows: tuple[int, int], alpha: float
) -> Computed | str:
    """PSI of counts raised by one, so that none is infinite; Jensen-Shannon of the counts as they are."""
    bins = len(window)
    if not (reference.any() and window.any()):
        return "rounding leaves all values of one sample outside the bins"
    if np.count_nonzero(reference + window) < 2:
        return "so few rows make one bin"
    if metric is Metric.PSI:
        shares = [(counts + 1) / (count + bins) for counts, count in zip((reference, window), rows, strict=True)]
        return Computed(population_stability_index(*shares), noise.laplace_psi_floor(reference, window, alpha))
    shares = [counts / counts.sum() for counts in (reference, window)]
    return Computed(jensen_shannon_distance(*shares), noise.sparse_jensen_shannon_floor(reference, window, alpha))


def _wasserstein(reference: Floats, window: Floats, alpha: float) -> Computed | str:
    """Over the reference's standard deviation (n - 1, as Spark's stddev), or 0.001 if that is more."""
    from scipy import stats  # half a second, which only Azure's own tests need

    if len(reference) < 2:
        return "one reference row has no standard deviation"
    with np.errstate(over="ignore", invalid="ignore"):
        moments = Moments.of(reference)
        unit = max(float(np.std(reference, ddof=1)), noise.LEAST_DEVIATION)
        value = float(stats.wasserstein_distance(reference, window)) / unit
        return Computed(value, noise.wasserstein_floor(moments, len(window), len(reference), alpha))


def _kolmogorov(reference: Floats, window: Floats, alpha: float) -> Computed | str:
    """The exact p-value, which ks_2samp chooses for so few rows."""
    from scipy import stats

    most = max(len(reference), len(window))
    if most >= _TOO_MANY_FOR_KOLMOGOROV:
        return f"Azure ML refuses this test for {_TOO_MANY_FOR_KOLMOGOROV} rows or more, and there are {most}"
    with warnings.catch_warnings():
        # Of two samples in strict alternation rounding can make the exact p-value exceed 1; the limit taken then is 1.
        warnings.simplefilter("ignore", RuntimeWarning)
        test: Any = stats.ks_2samp(reference, window)
    return Computed(float(test.pvalue), alpha, float(test.statistic))


def _chi_squared(reference: Counts, window: Counts, alpha: float) -> Computed:
    """Pearson's test of the window against the reference's shares, as if these were known.

    One row of a category that the reference does not have makes the statistic infinite and the p-value 0, however many
    rows there are. That says nothing, so the floor is 0 as well.
    """
    freedom, rows, reference_rows = len(window) - 1, int(window.sum()), int(reference.sum())
    if not reference.all():
        return Computed(0.0, 0.0)
    expected = reference / reference_rows * rows
    statistic = float(np.sum((window - expected) ** 2 / expected))
    floor = noise.one_sample_chi_squared_floor(freedom, rows, reference_rows, alpha)
    return Computed(chi_squared_tail(statistic, freedom), floor, statistic)
