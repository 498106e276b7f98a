"""Noise floors: the critical value of each metric when nothing drifted, for the rows at hand.

All are asymptotic. The rates of false alarms in the docstrings were simulated, 8,000 windows or more to each figure;
`tests/core/drift/test_noise.py` repeats that at a larger alpha. They take rows to be independent: in windows whose
rows resemble their neighbours (time series, sessions) there are fewer independent rows than rows, and the true floor
is higher.
"""

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Final

import numpy as np

from anew.core.drift.distances import Counts, population_stability_index
from anew.core.drift.moments import Moments
from anew.core.drift.profile import CategoricalProfile, FeatureProfile, NumericProfile, Unusable
from anew.core.drift.values import DEFAULT_ALPHA, Metric
from anew.core.statistics.tails import chi_squared_critical, chi_squared_tail

LEAST_DEVIATION: Final = 0.001
"""What a Wasserstein distance is divided by at least, as in Azure ML."""

SPARSE: Final = 5
"""Rows expected in a bin below which the chi-squared distribution is no good approximation (Cochran 1954)."""

MOST_ROWS: Final = 10**12


def psi_floor(freedom: int, rows: int, reference_rows: int, alpha: float = DEFAULT_ALPHA) -> float:
    """(1/N + 1/M) times the critical chi-squared, freedom = bins - 1.

    To second order PSI is the sum of (p - q)^2 / p, which is Pearson's statistic times (1/N + 1/M). With half a row
    added to each bin false alarms at alpha 0.001 came at 0 to 1.5 alpha, for 2 to 20 bins of equally many rows and
    windows of 30 to 100,000.
    """
    return (1 / rows + 1 / reference_rows) * chi_squared_critical(alpha, freedom)


def jensen_shannon_floor(freedom: int, rows: int, reference_rows: int, alpha: float = DEFAULT_ALPHA) -> float:
    """sqrt(psi_floor / (8 ln 2)).

    The divergence is the mean of two relative entropies to the middle m = (p + q) / 2, each to second order
    sum (p - q)^2 / 4 / (2 m): together 1/8 sum (p - q)^2 / m nats, an eighth of PSI, and ln 2 nats are one bit.
    """
    return math.sqrt(psi_floor(freedom, rows, reference_rows, alpha) / (8 * math.log(2)))


def wasserstein_floor(moments: Moments, rows: int, reference_rows: int, alpha: float = DEFAULT_ALPHA) -> float:
    """The floor of a Wasserstein distance over max(std, 0.001); moments are the reference's.

    The scaled distance tends to the integral of |B(F(x))|, B a Brownian bridge. It is at least its absolute mean
    shift, which is normal with the deviation std (Hoeffding: the double integral of min(F, F') - F F' is the
    variance), and where it is large the bridge has one sign and it is little more. So its square is taken to be
    z^2 std^2 and, for what is no shift, (2/pi) (spread^2 - std^2), as (E|B|)^2 = 2/pi F (1 - F). The second is an
    approximation, exact for two-valued features. Few rows are not normal yet: z is corrected by Cornish and Fisher
    for skewness (half, as only one of two tails grows) and kurtosis, and the variance, which the reference only
    estimates, is raised by its standard error sqrt((kurtosis + 2) / N).

    False alarms at alpha 0.001 with 50 rows or more: 0 to 2 alpha for normal, uniform, lognormal, exponential, Poisson
    and two-valued features, up to 3 alpha for Student's t with 3 degrees of freedom. Where the third moment is infinite
    (Pareto 2.5) they reach 12 alpha: nothing computed from a sample can know its tail.
    """
    if moments.std == 0:
        return 0.0
    scale = 1 / rows + 1 / reference_rows
    skewness = abs(moments.skewness) * abs(1 / rows**2 - 1 / reference_rows**2) / scale**1.5
    kurtosis = max(0.0, moments.kurtosis) * (1 / rows**3 + 1 / reference_rows**3) / scale**2
    z = NormalDist().inv_cdf(1 - alpha / 2)
    shift = z + (z * z - 1) / 12 * skewness + (z**3 - 3 * z) / 24 * kurtosis
    doubt = 1 + math.sqrt(max(0.0, moments.kurtosis + 2) / reference_rows)
    rest = 2 / math.pi * ((moments.spread / moments.std) ** 2 - 1)
    unit = moments.std / max(moments.std, LEAST_DEVIATION)
    return math.sqrt(scale * (shift * shift * doubt + max(0.0, rest))) * unit


def sparse_jensen_shannon_floor(reference: Counts, window: Counts, alpha: float = DEFAULT_ALPHA) -> float:
    """The floor of a distance between shares that were not smoothed, as Azure ML takes them.

    In bins with hardly a row the divergence is not the quadratic form, but at most 2 ln 2 times it (Topsoe 2000), so
    the floor rises with the share of such bins. Both count vectors are over the same bins, at least two not empty.
    """
    pooled = (reference + window)[reference + window > 0]
    rows, reference_rows = int(window.sum()), int(reference.sum())
    expected = pooled * (min(rows, reference_rows) / (rows + reference_rows))
    excess = 1 + (2 * math.log(2) - 1) * float(np.mean(expected < SPARSE))
    return math.sqrt(excess) * jensen_shannon_floor(len(pooled) - 1, rows, reference_rows, alpha)


def laplace_psi_floor(reference: Counts, window: Counts, alpha: float = DEFAULT_ALPHA) -> float:
    """The floor of a PSI whose counts were raised by one, as Azure ML does.

    One row more is another share of few rows than of many, so that with bins that are empty in both the PSI is not 0
    although nothing drifted: 0.019 for each empty bin of 300 rows against 100,000. This bias, taken at the pooled
    shares, comes on top of the noise.
    """
    rows, reference_rows, bins = int(window.sum()), int(reference.sum()), len(window)
    pooled = (reference + window) / (rows + reference_rows)
    smoothed = [(pooled * count + 1) / (count + bins) for count in (reference_rows, rows)]
    freedom = int(np.count_nonzero(pooled)) - 1
    return psi_floor(freedom, rows, reference_rows, alpha) + population_stability_index(*smoothed)


def one_sample_chi_squared_floor(freedom: int, rows: int, reference_rows: int, alpha: float = DEFAULT_ALPHA) -> float:
    """The floor of a p-value that treats the reference's shares as the true ones, as Azure ML does.

    They are estimates, so the statistic is 1 + M/N times too large, and the p-value alone gives false alarms.
    """
    return chi_squared_tail(chi_squared_critical(alpha, freedom) * (1 + rows / reference_rows), freedom)


def required_rows(
    feature: FeatureProfile, metric: Metric, threshold: float, alpha: float = DEFAULT_ALPHA
) -> int | None:
    """The number of usable rows with which a window's noise floor is at or below the threshold; with fewer, a value
    above the threshold is no evidence of drift. None if no number is enough with this reference, or the metric does not
    apply to the feature.

    A p-value holds its level with any number of rows, so the answer is 1 for a threshold up to alpha, else None.
    All categories are counted, also those that a window of so few rows would pool, so the answer errs upwards.
    """
    if metric.is_p_value:
        applies = isinstance(feature, NumericProfile) == (metric is Metric.KOLMOGOROV_SMIRNOV)
        return 1 if applies and not isinstance(feature, Unusable) and threshold <= alpha else None
    floor = _floor_by_rows(feature, metric, alpha)
    if floor is None or floor(MOST_ROWS) > threshold:
        return None
    low, high = 0, MOST_ROWS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if floor(middle) > threshold else (low, middle)
    return high


def _floor_by_rows(feature: FeatureProfile, metric: Metric, alpha: float) -> Callable[[int], float] | None:
    match feature:
        case NumericProfile(moments=moments) if metric is Metric.WASSERSTEIN:
            error = feature.point_error / max(moments.std, LEAST_DEVIATION)
            constant = moments.std == 0
            return None if constant else lambda rows: error + wasserstein_floor(moments, rows, feature.rows, alpha)
        case NumericProfile() | CategoricalProfile() if metric in (Metric.PSI, Metric.JENSEN_SHANNON):
            others = isinstance(feature, CategoricalProfile) and feature.others > 0
            freedom = len(feature.counts) + others - 1
            floor = psi_floor if metric is Metric.PSI else jensen_shannon_floor
            return (lambda rows: floor(freedom, rows, feature.rows, alpha)) if freedom > 0 else None
        case _:
            return None
