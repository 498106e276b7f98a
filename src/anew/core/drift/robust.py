"""Drift against a stored profile: bins of equally many reference rows, and 1001 quantiles for the other metrics.

Unlike Azure ML's computation this needs no reference rows, an outlier moves no bin, and any number of rows will do.
"""

import os
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from anew.core.drift import noise
from anew.core.drift.columns import Categories, Numbers, read_column
from anew.core.drift.counting import tally
from anew.core.drift.distances import (
    Counts,
    Floats,
    Staircase,
    homogeneity_chi_squared,
    jensen_shannon_distance,
    population_stability_index,
)
from anew.core.drift.profile import CategoricalProfile, FeatureProfile, NumericProfile, ReferenceProfile, Unusable
from anew.core.drift.values import (
    CATEGORICAL_METRICS,
    DEFAULT_ALPHA,
    NUMERIC_METRICS,
    Computed,
    Drift,
    Metric,
    Rows,
    outcome,
)
from anew.core.statistics.tails import chi_squared_tail, kolmogorov_tail
from anew.errors import InvalidTable

_WORTH_A_THREAD: Final = 1_000_000  # cells; fewer are counted before a thread starts
_SMOOTHING: Final = 0.5  # rows added to each bin: Jeffreys' prior, with which no share is 0 and no value infinite
_FLOAT32_MAX: Final = float(np.finfo(np.float32).max)
_BY_ORDER: Final = frozenset({Metric.WASSERSTEIN, Metric.KOLMOGOROV_SMIRNOV})


def drift_table(
    profile: ReferenceProfile,
    window: Mapping[str, NDArray[Any]] | NDArray[Any],
    *,
    metrics: Collection[Metric] = tuple(Metric),
    alpha: float = DEFAULT_ALPHA,
) -> tuple[Drift, ...]:
    """The drift of each feature of the profile by each of these metrics that applies to its kind, in that order.

    The window is given by columns, or as rows x features in the profile's order; columns the profile does not know
    are ignored. Numeric features have PSI, Jensen-Shannon, Wasserstein and Kolmogorov-Smirnov, categorical ones PSI,
    Jensen-Shannon and chi-squared. Columns that are contiguous in memory are read several times as fast.
    Raises InvalidTable for a window of another shape, columns of different lengths, or columns that cannot be read.
    """
    columns = _columns(profile, window)

    def drift_of(named: tuple[str, FeatureProfile]) -> list[Drift]:
        name, feature = named
        return feature_drift(name, feature, columns.get(name), metrics, alpha)

    if sum(column.size for column in columns.values()) < _WORTH_A_THREAD:
        tables = [drift_of(named) for named in profile.features]
    else:
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            tables = list(threads.map(drift_of, profile.features))
    return tuple(drift for table in tables for drift in table)


def _columns(
    profile: ReferenceProfile, window: Mapping[str, NDArray[Any]] | NDArray[Any]
) -> Mapping[str, NDArray[Any]]:
    if isinstance(window, Mapping):
        if len({len(column) for column in window.values() if column.ndim}) > 1:
            raise InvalidTable("the columns of the window are not of the same length")
        return window
    if window.ndim != 2 or window.shape[1] != len(profile.features):
        raise InvalidTable(f"the window is of shape {window.shape}, the profile has {len(profile.features)} features")
    return {name: window[:, index] for index, (name, _) in enumerate(profile.features)}


def feature_drift(
    name: str,
    feature: FeatureProfile,
    column: NDArray[Any] | None,
    metrics: Collection[Metric] = tuple(Metric),
    alpha: float = DEFAULT_ALPHA,
) -> list[Drift]:
    """The drift of one feature; a column of None is one that the window does not have."""
    asked = [metric for metric in metrics if metric in _applying(feature)]
    if column is None:
        return _none(name, asked, "the window has no such column", Rows(0, feature.rows))
    match feature, read_column(name, column):
        case Unusable(), _:
            return _none(name, asked, "the reference has no value to compare with", Rows(len(column), 0))
        case _, read if (nothing := _nothing(read)) is not None:
            return _none(name, asked, nothing, _rows_of(read, feature))
        case NumericProfile(), Numbers() as numbers:
            return _numeric_drift(name, feature, numbers.values, asked, alpha)
        case CategoricalProfile(), Categories() as categories:
            return _categorical_drift(name, feature, categories, asked, alpha)
        case _, read:
            had, has = ("numbers", "categories") if isinstance(feature, NumericProfile) else ("categories", "numbers")
            return _none(name, asked, f"the reference has {had}, the window {has}", _rows_of(read, feature))


def _applying(feature: FeatureProfile) -> Collection[Metric]:
    match feature:
        case NumericProfile():
            return NUMERIC_METRICS
        case CategoricalProfile():
            return CATEGORICAL_METRICS
        case Unusable():
            return tuple(Metric)


def _none(name: str, metrics: Collection[Metric], reason: str, rows: Rows) -> list[Drift]:
    return [outcome(name, metric, reason, rows) for metric in metrics]


def _rows_of(read: Numbers | Categories, feature: FeatureProfile) -> Rows:
    if isinstance(read, Categories):
        return Rows(read.rows, feature.rows, read.nulls)
    counted = tally(read.values, ())
    return Rows(counted.rows, feature.rows, counted.nulls, counted.infinities)


def _nothing(read: Numbers | Categories) -> str | None:
    """Why the window has nothing to compare, or None. Most columns need no pass: their first value is finite."""
    if isinstance(read, Numbers):
        if len(read.values) and np.isfinite(read.values[0]):
            return None
        rows, total = int(np.count_nonzero(np.isfinite(read.values))), len(read.values)
    else:
        rows, total = read.rows, read.rows + read.nulls
    if rows:
        return None
    return f"none of the {total} rows of the window has a finite value" if total else "the window has no rows"


# --- numeric ----------------------------------------------------------------------------------------------


def _numeric_drift(
    name: str,
    feature: NumericProfile,
    values: NDArray[np.floating[Any]],
    metrics: Collection[Metric],
    alpha: float,
) -> list[Drift]:
    counted = tally(values, feature.edges)
    rows = Rows(counted.rows, feature.rows, counted.nulls, counted.infinities)
    if feature.minimum == feature.maximum:
        others = rows.window - int(np.count_nonzero(values == feature.minimum))
        return _none(name, metrics, _constant(repr(feature.minimum), others, rows), rows)
    reference = np.array(feature.counts, dtype=np.int64)
    computed = {each: _by_counts(each, reference, counted.counts, alpha) for each in metrics if each not in _BY_ORDER}
    if by_order := [each for each in metrics if each in _BY_ORDER]:
        staircase, ordered = _comparable(feature.staircase(), values, rows)
        computed |= {each: _by_order(each, feature, staircase, ordered, alpha) for each in by_order}
    return [outcome(name, metric, computed[metric], rows) for metric in metrics]


def _constant(value: str, others: int, rows: Rows) -> str:
    return f"the reference has one value only, {value}; {others} of {rows.window} rows of the window have another"


def _comparable(staircase: Staircase, values: NDArray[np.floating[Any]], rows: Rows) -> tuple[Staircase, Floats]:
    """Both at single precision if one of them is: 0.1 is not the same number in both, and a feature that is often
    0.1 would seem to have drifted.
    """
    ordered = np.sort(values if rows.window == len(values) else values[np.isfinite(values)])
    ends = max(abs(float(ordered[0])), abs(float(ordered[-1])))
    if ordered.dtype == np.float32:
        return _rounded(staircase), ordered.astype(np.float64)
    if ends < _FLOAT32_MAX and np.array_equal(_rounded(staircase).points, staircase.points):
        return staircase, ordered.astype(np.float32).astype(np.float64)
    return staircase, ordered.astype(np.float64, copy=False)


def _rounded(staircase: Staircase) -> Staircase:
    return staircase.rounded() if np.max(np.abs(staircase.points)) < _FLOAT32_MAX else staircase


def _by_order(metric: Metric, feature: NumericProfile, known: Staircase, ordered: Floats, alpha: float) -> Computed:
    """D is at most 0.0016 below the exact one and never above, so the p-value errs to the side of "no drift". The
    Wasserstein distance is within the profile's point_error of the exact one, and the floor makes up for that.
    """
    if metric is Metric.KOLMOGOROV_SMIRNOV:
        distance = known.kolmogorov_distance(ordered)
        return Computed(kolmogorov_tail(distance, len(ordered), feature.rows), alpha, distance)
    unit = max(feature.moments.std, noise.LEAST_DEVIATION)
    floor = noise.wasserstein_floor(feature.moments, len(ordered), feature.rows, alpha)
    with np.errstate(over="ignore", invalid="ignore"):
        value = known.wasserstein_distance(ordered) / unit
    return Computed(value, floor + feature.point_error / unit)


# --- counts -----------------------------------------------------------------------------------------------


def _by_counts(metric: Metric, reference: Counts, window: Counts, alpha: float) -> Computed:
    """Over at least two bins, each with a row in one of them."""
    freedom, rows, reference_rows = len(window) - 1, int(window.sum()), int(reference.sum())
    if metric is Metric.CHI_SQUARED:
        statistic = homogeneity_chi_squared(reference, window)
        return Computed(chi_squared_tail(statistic, freedom), alpha, statistic)
    shares = [(counts + _SMOOTHING) / (counts.sum() + _SMOOTHING * len(counts)) for counts in (reference, window)]
    if metric is Metric.PSI:
        floor = noise.psi_floor(freedom, rows, reference_rows, alpha)
        return Computed(population_stability_index(*shares), floor)
    floor = noise.jensen_shannon_floor(freedom, rows, reference_rows, alpha)
    return Computed(jensen_shannon_distance(*shares), floor)


def _categorical_drift(
    name: str, feature: CategoricalProfile, window: Categories, metrics: Collection[Metric], alpha: float
) -> list[Drift]:
    rows = Rows(window.rows, feature.rows, window.nulls)
    if len(feature.counts) == 1 and not feature.others:
        ((only, _),) = feature.counts
        return _none(name, metrics, _constant(repr(only), rows.window - window.counts.get(only, 0), rows), rows)
    reference, counts = pool_rare(feature, window)
    if len(counts) < 2:
        reason = f"of {rows.window} rows fewer than {noise.SPARSE} are expected in all categories but one"
        return _none(name, metrics, reason, rows)
    return [outcome(name, metric, _by_counts(metric, reference, counts, alpha), rows) for metric in metrics]


def pool_rare(feature: CategoricalProfile, window: Categories) -> tuple[Counts, Counts]:
    """Counts of both over the same bins: one for each category of which either sample can expect 5 rows, and a last
    one for all others, among them those the reference never saw.

    The pooling depends only on the reference and the number of rows, so it adds no randomness.
    """
    least = noise.SPARSE * max(1.0, feature.rows / window.rows)
    pairs = list(_frequent(feature, window, least))
    kept, seen = sum(known for known, _ in pairs), sum(count for _, count in pairs)
    if feature.rows > kept or window.rows > seen:
        pairs.append((feature.rows - kept, window.rows - seen))
    reference, counts = zip(*pairs, strict=True)
    return np.array(reference, dtype=np.int64), np.array(counts, dtype=np.int64)


def _frequent(feature: CategoricalProfile, window: Categories, least: float) -> Iterator[tuple[int, int]]:
    for category, known in feature.counts:
        if known >= least:
            yield known, window.counts.get(category, 0)
