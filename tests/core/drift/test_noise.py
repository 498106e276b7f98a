"""Noise floors: the rate at which they are exceeded when nothing drifted, by simulation."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from anew.core.drift import (
    DEFAULT_ALPHA,
    Drift,
    DriftValue,
    FeatureProfile,
    Metric,
    Unusable,
    azure_table,
    drift_table,
    profile_reference,
    required_rows,
)
from anew.core.drift.distances import jensen_shannon_distance, population_stability_index
from anew.core.drift.noise import jensen_shannon_floor, psi_floor
from tests.core.drift.samples import DISTRIBUTIONS, value_of

ALPHA = 0.02
REFERENCES = 60  # many: windows compared with one reference raise their false alarms together
WINDOWS = 5


def highest(rate: float, times: int) -> float:
    """What a rate of false alarms stays under in a simulation of so many, but for four standard errors."""
    return rate + 4 * math.sqrt(rate * (1 - rate) / times)


def feature(column: NDArray[Any]) -> FeatureProfile:
    return profile_reference({"x": column}).features[0][1]


def robust_alarms(name: str, rows: int, window: int) -> dict[Metric, float]:
    """The rate of false alarms, with as many windows against each of some references."""
    rng, draw = np.random.default_rng(rows + window), DISTRIBUTIONS[name]
    alarms: dict[Metric, int] = {}
    for _ in range(REFERENCES):
        profile = profile_reference({"x": draw(rng, rows)})
        for _ in range(WINDOWS):
            for drift in drift_table(profile, {"x": draw(rng, window)}, alpha=ALPHA):
                assert isinstance(drift, DriftValue)
                alarms[drift.metric] = alarms.get(drift.metric, 0) + drift.is_evidence
    return {metric: count / (REFERENCES * WINDOWS) for metric, count in alarms.items()}


@pytest.mark.parametrize(("rows", "window"), [(5000, 100), (1000, 1000)])
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_robust_false_alarms_match_alpha(name: str, rows: int, window: int) -> None:
    """False alarms are as rare as `alpha` says; Wasserstein on heavy tails has up to twice as many."""
    rates = robust_alarms(name, rows, window)
    tail = 2.0 if name in ("heavy", "lognormal") else 1.0
    for metric, rate in rates.items():
        worst = ALPHA * (tail if metric is Metric.WASSERSTEIN else 1.0)
        assert rate <= highest(worst, REFERENCES * WINDOWS), metric


@pytest.mark.parametrize(("rows", "window"), [(5000, 100), (10_000, 1000), (600, 600)])
@pytest.mark.parametrize("name", ["normal", "uniform", "lognormal", "heavy"])
def test_azure_false_alarms_match_alpha(name: str, rows: int, window: int) -> None:
    """False alarms of the metrics of Azure ML stay within one and a half times `alpha`."""
    rng, draw, times = np.random.default_rng(1), DISTRIBUTIONS[name], 200
    metrics = (Metric.PSI, Metric.JENSEN_SHANNON)
    alarms = np.zeros(len(metrics))
    for _ in range(times):
        tables = {"x": draw(rng, rows)}, {"x": draw(rng, window)}
        drifts = azure_table(*tables, metrics=metrics, alpha=ALPHA)
        alarms += [isinstance(drift, DriftValue) and drift.is_evidence for drift in drifts]
    assert max(alarms) / times <= highest(1.5 * ALPHA, times)


Table = dict[str, NDArray[Any]]
Tables = Callable[[Table, Table], tuple[Drift, ...]]
CHI_SQUARED_TABLES: dict[str, Tables] = {
    "robust": lambda reference, window: drift_table(
        profile_reference(reference), window, metrics=[Metric.CHI_SQUARED], alpha=ALPHA
    ),
    "azure": lambda reference, window: azure_table(reference, window, metrics=[Metric.CHI_SQUARED], alpha=ALPHA),
}


@pytest.mark.parametrize("way", CHI_SQUARED_TABLES)
def test_chi_squared_false_alarms(way: str) -> None:
    """False alarms of chi-squared are neither more frequent nor much rarer than `alpha`."""
    rng, times, alarms = np.random.default_rng(2), 500, 0
    for _ in range(times):
        tables = [{"x": rng.choice(list("abcd"), rows, p=[0.5, 0.3, 0.15, 0.05])} for rows in (800, 500)]
        (drift,) = CHI_SQUARED_TABLES[way](*tables)
        assert isinstance(drift, DriftValue)
        alarms += drift.is_evidence
    assert ALPHA / 3 <= alarms / times <= highest(ALPHA, times)


Formula = Callable[[NDArray[np.float64], NDArray[np.float64]], float]
Floor = Callable[[int, int, int, float], float]


@pytest.mark.parametrize(
    ("compute", "floor"),
    [(population_stability_index, psi_floor), (jensen_shannon_distance, jensen_shannon_floor)],
)
@pytest.mark.parametrize(("rows", "reference_rows", "bins"), [(100, 10_000, 10), (1000, 10_000, 10), (5000, 5000, 40)])
def test_histogram_floor_matches_simulation(
    compute: Formula, floor: Floor, rows: int, reference_rows: int, bins: int
) -> None:
    """The noise floor of PSI and Jensen-Shannon is the simulated quantile."""
    rng, times = np.random.default_rng(3), 10_000
    drawn = [rng.multinomial(count, np.full(bins, 1 / bins), size=times) for count in (reference_rows, rows)]
    first, second = ((counts + 0.5) / (counts.sum(axis=1, keepdims=True) + bins / 2) for counts in drawn)
    values = [compute(before, after) for before, after in zip(first, second, strict=True)]
    assert floor(bins - 1, rows, reference_rows, 0.01) == pytest.approx(float(np.quantile(values, 0.99)), rel=0.05)


@pytest.mark.parametrize("name", ["normal", "uniform", "exponential", "poisson"])
def test_wasserstein_floor_matches_simulation(name: str) -> None:
    """The noise floor of the Wasserstein distance is the simulated quantile."""
    rng, draw = np.random.default_rng(4), DISTRIBUTIONS[name]
    reference = draw(rng, 20_000)
    profile = profile_reference({"x": reference})
    values: list[float] = []
    floor = 0.0
    for _ in range(1000):
        (drift,) = drift_table(profile, {"x": draw(rng, 400)}, metrics=[Metric.WASSERSTEIN], alpha=0.05)
        assert isinstance(drift, DriftValue)
        values.append(drift.value)
        floor = drift.noise_floor
    assert floor == pytest.approx(float(np.quantile(values, 0.95)), rel=0.12)


@pytest.mark.parametrize("metric", [Metric.PSI, Metric.JENSEN_SHANNON, Metric.WASSERSTEIN])
def test_floor_falls_with_rows_and_alpha(metric: Metric) -> None:
    """More rows and a larger `alpha` lower the noise floor."""
    rng = np.random.default_rng(5)
    profile = profile_reference({"x": rng.standard_normal(5000)})
    window = rng.standard_normal(4000)

    def floor(rows: int, alpha: float) -> float:
        (drift,) = drift_table(profile, {"x": window[:rows]}, metrics=[metric], alpha=alpha)
        assert isinstance(drift, DriftValue)
        return drift.noise_floor

    assert floor(4000, 0.01) < floor(400, 0.01) < floor(40, 0.01)
    assert floor(400, 0.05) < floor(400, 0.001)


# --- required rows ----------------------------------------------------------------------------------------

REFERENCE = np.random.default_rng(6).standard_normal(20_000)


@pytest.mark.parametrize("metric", [Metric.PSI, Metric.JENSEN_SHANNON, Metric.WASSERSTEIN])
@pytest.mark.parametrize("threshold", [0.03, 0.1, 0.25])
def test_required_rows_are_minimal(metric: Metric, threshold: float) -> None:
    """The required rows are the fewest whose noise floor is below the threshold."""
    needed = required_rows(feature(REFERENCE), metric, threshold)
    assert needed is not None
    window = np.random.default_rng(7).standard_normal(needed)
    assert value_of(REFERENCE, window, metric).noise_floor <= threshold
    assert value_of(REFERENCE, window[:-1], metric).noise_floor > threshold


@pytest.mark.parametrize("metric", [Metric.PSI, Metric.JENSEN_SHANNON, Metric.WASSERSTEIN])
def test_small_reference_is_never_enough(metric: Metric) -> None:
    """With too small a reference no number of rows is enough."""
    assert required_rows(feature(REFERENCE[:100]), metric, 0.01) is None


def test_p_value_thresholds_stop_at_alpha() -> None:
    """A p-value needs one row for a threshold up to `alpha`, and above it no number of rows is enough."""
    known = feature(REFERENCE)
    assert required_rows(known, Metric.KOLMOGOROV_SMIRNOV, DEFAULT_ALPHA) == 1
    assert required_rows(known, Metric.KOLMOGOROV_SMIRNOV, 0.05) is None
    assert required_rows(known, Metric.KOLMOGOROV_SMIRNOV, 0.05, alpha=0.05) == 1


def test_no_required_rows_without_metric() -> None:
    """Where a metric does not apply, the required rows are unknown."""
    known, constant = feature(REFERENCE), feature(np.full(9, 1.0))
    assert required_rows(known, Metric.CHI_SQUARED, 0.0001) is None
    assert required_rows(Unusable(1, 0), Metric.CHI_SQUARED, 0.0001) is None
    assert required_rows(Unusable(1, 0), Metric.PSI, 0.1) is None
    assert [required_rows(constant, metric, 0.1) for metric in (Metric.PSI, Metric.WASSERSTEIN)] == [None, None]


def test_more_categories_need_more_rows() -> None:
    """More categories need more rows."""
    columns = [(np.arange(20_000) % categories).astype(np.str_) for categories in (2, 3, 300)]
    few, some, many = (required_rows(feature(column), Metric.PSI, 0.1) for column in columns)
    assert few is not None
    assert some is not None
    assert many is not None
    assert few < some < many
