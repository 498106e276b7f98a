"""The numbers of Azure ML: equal to its formulas written down again, and to local Azure's."""

import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from anew.core.drift import DriftValue, Metric, NotMeasurable, Rows, azure_table
from anew.core.drift.azure_formulas import histogram_counts
from anew.emulator.monitors import monitors
from anew.errors import InvalidTable
from tests.core.drift import straightforward
from tests.core.drift.samples import DISTRIBUTIONS, reasons

SIZES = [(300, 300), (2000, 150), (100, 2500)]
DIGITS = 1e-11


def value(reference: NDArray[Any], window: NDArray[Any], metric: Metric) -> float:
    (drift,) = azure_table({"x": reference}, {"x": window}, metrics=[metric])
    assert isinstance(drift, DriftValue), drift
    return drift.value


def samples(name: str, rows: int, window: int, seed: int = 0) -> list[NDArray[np.float64]]:
    rng = np.random.default_rng(rows + window + seed)
    return [DISTRIBUTIONS[name](rng, rows), 1.1 * DISTRIBUTIONS[name](rng, window)]


def holds_all(pair: list[NDArray[np.float64]]) -> bool:
    """Whether Azure ML's last edge is not rounded to below the greatest value."""
    return straightforward.edges_of(*pair)[-1] >= max(sample.max() for sample in pair)


# --- numeric ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "window"), SIZES)
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_numeric_metrics_match_azure(name: str, rows: int, window: int) -> None:
    """Numeric metrics equal a plain implementation of the formulas of Azure ML."""
    pair = samples(name, rows, window)
    lists = [sample.tolist() for sample in pair]
    assert value(*pair, Metric.PSI) == pytest.approx(straightforward.psi(*lists), rel=DIGITS)
    expected = straightforward.jensen_shannon(*lists)
    assert value(*pair, Metric.JENSEN_SHANNON) == pytest.approx(expected, rel=DIGITS)
    assert value(*pair, Metric.WASSERSTEIN) == pytest.approx(straightforward.wasserstein(*lists), rel=DIGITS)
    expected = straightforward.kolmogorov_smirnov(*lists)
    assert value(*pair, Metric.KOLMOGOROV_SMIRNOV) == pytest.approx(expected, rel=1e-8)


@given(
    arrays(np.float64, st.integers(2, 50), elements=st.integers(-20, 20).map(lambda number: number / 10)),
    arrays(np.float64, st.integers(2, 50), elements=st.integers(-20, 20).map(lambda number: number / 10)),
)
def test_values_on_bin_edges(reference: NDArray[np.float64], window: NDArray[np.float64]) -> None:
    """A value on an edge falls into the same bin as in Spark."""
    assume(len(np.unique(np.concatenate((reference, window)))) > 1)
    counts = histogram_counts(np.sort(reference), np.sort(window))
    assume(counts is not None and np.count_nonzero(counts[0] + counts[1]) > 1)  # rounding may leave one bin
    expected = straightforward.psi(reference.tolist(), window.tolist())
    assert value(reference, window, Metric.PSI) == pytest.approx(expected, rel=DIGITS, abs=1e-12)


@pytest.mark.parametrize(("rows", "window"), SIZES)
@pytest.mark.parametrize("name", ["normal", "uniform", "lognormal", "exponential", "heavy"])
def test_local_azure_agrees(name: str, rows: int, window: int) -> None:
    """Local Azure computes the same numeric metrics."""
    pair = next(pair for pair in (samples(name, rows, window, seed) for seed in range(50)) if holds_all(pair))
    expected = monitors.population_stability_index(*pair)
    assert value(*pair, Metric.PSI) == pytest.approx(expected, rel=DIGITS)
    expected = monitors.jensen_shannon_distance(*pair)
    assert value(*pair, Metric.JENSEN_SHANNON) == pytest.approx(expected, rel=DIGITS)
    expected = monitors.normalized_wasserstein_distance(*pair)
    assert value(*pair, Metric.WASSERSTEIN) == pytest.approx(expected, rel=DIGITS)


def test_value_above_last_edge_is_dropped() -> None:
    """A greatest value above the rounded last edge falls into no bin."""
    pair = next(pair for pair in (samples("normal", 100, 60, seed) for seed in range(50)) if not holds_all(pair))
    counts = histogram_counts(*(np.sort(sample) for sample in pair))
    assert counts is not None
    assert sum(int(each.sum()) for each in counts) == 159


def share_of_orders(rows: int, others: int, excess: int) -> Fraction:
    """The share of orders of two samples with D * rows * others >= excess, by counting those with less."""
    inside = [[0] * (others + 1) for _ in range(rows + 1)]
    for i, j in itertools.product(range(rows + 1), range(others + 1)):
        ways = (inside[i - 1][j] if i else 0) + (inside[i][j - 1] if j else 0) if i or j else 1
        inside[i][j] = 0 if abs(i * others - j * rows) >= excess else ways
    return 1 - Fraction(inside[rows][others], math.comb(rows + others, rows))


@given(st.integers(1, 15), st.integers(1, 15), st.integers(0, 10**6))
def test_kolmogorov_smirnov_is_the_share_of_orders(rows: int, others: int, seed: int) -> None:
    """The p-value is exact: the share of all orders of both samples in which they are as far apart."""
    values = np.random.default_rng(seed).permutation(rows + others).astype(np.float64)
    (drift,) = azure_table({"x": values[:rows]}, {"x": values[rows:]}, metrics=[Metric.KOLMOGOROV_SMIRNOV])
    assert isinstance(drift, DriftValue)
    assert drift.statistic is not None
    expected = share_of_orders(rows, others, round(drift.statistic * rows * others))
    assert drift.value == pytest.approx(float(expected), rel=1e-12)


def test_kolmogorov_smirnov_row_limit() -> None:
    """Kolmogorov-Smirnov is refused from ten thousand rows on, as in Azure ML."""
    few, many = np.arange(9_999.0), np.arange(10_000.0)
    assert value(few, few, Metric.KOLMOGOROV_SMIRNOV) == 1.0
    drifts = azure_table({"x": few}, {"x": many}, metrics=[Metric.KOLMOGOROV_SMIRNOV])
    assert reasons(drifts) == ["Azure ML refuses this test for 10000 rows or more, and there are 10000"]


# --- categorical ------------------------------------------------------------------------------------------

LETTERS = np.random.default_rng(9).choice(list("abcd"), 2000, p=[0.6, 0.2, 0.15, 0.05])
OTHERS = np.random.default_rng(10).choice(list("abc"), 400, p=[0.5, 0.3, 0.2])


@pytest.mark.parametrize(
    ("reference", "window"),
    [
        (LETTERS, OTHERS),
        (LETTERS == "a", OTHERS == "a"),
        (np.arange(2000) % 7, np.arange(300) % 5),  # few distinct integers
        (LETTERS.astype(object), OTHERS.astype(object)),
    ],
)
def test_categorical_metrics_match_azure(reference: NDArray[Any], window: NDArray[Any]) -> None:
    """Categorical metrics equal a plain implementation of the formulas of Azure ML."""
    lists = reference.tolist(), window.tolist()
    assert value(reference, window, Metric.PSI) == pytest.approx(straightforward.categorical_psi(*lists), rel=DIGITS)
    expected = straightforward.categorical_jensen_shannon(*lists)
    assert value(reference, window, Metric.JENSEN_SHANNON) == pytest.approx(expected, rel=DIGITS)
    expected = straightforward.chi_squared(*lists)
    assert value(reference, window, Metric.CHI_SQUARED) == pytest.approx(expected, rel=1e-9)


def test_unseen_category_is_no_evidence() -> None:
    """An unseen category makes the p-value of chi-squared zero and is no evidence."""
    (drift,) = azure_table({"x": LETTERS}, {"x": np.append(LETTERS, "z")}, metrics=[Metric.CHI_SQUARED])
    assert isinstance(drift, DriftValue)
    assert drift.value == 0.0
    assert not drift.is_evidence


def test_many_distinct_integers_are_numeric() -> None:
    """Integers with many distinct values are numeric."""
    drifts = azure_table({"x": np.arange(100)}, {"x": np.arange(50)})
    assert Metric.WASSERSTEIN in {drift.metric for drift in drifts}


# --- rows and columns -------------------------------------------------------------------------------------


def test_rows_with_nulls_are_left_out() -> None:
    """A row with a null in any column is left out."""
    reference = {"a": np.arange(100.0), "b": np.array([*map(str, range(98)), None, None], dtype=object)}
    window = {"a": np.array([np.nan, *np.arange(50.0)]), "b": np.array([*("01" * 25), None], dtype=object)}
    (drift,) = azure_table(reference, window, metrics=[Metric.WASSERSTEIN])
    assert isinstance(drift, DriftValue)
    assert drift.rows == Rows(window=49, reference=98, nulls=2)
    assert drift.value == pytest.approx(
        straightforward.wasserstein(np.arange(98.0).tolist(), np.arange(49.0).tolist()), rel=DIGITS
    )


def test_numeric_objects_compare_as_floats() -> None:
    """Objects that are numbers are compared as floats."""
    as_objects = np.array([*range(50), None], dtype=object)
    got = value(as_objects, np.arange(20.0), Metric.WASSERSTEIN)
    assert got == value(np.arange(50.0), np.arange(20.0), Metric.WASSERSTEIN)


@pytest.mark.parametrize(
    ("reference", "window", "words"),
    [
        (np.full(9, 3.0), np.full(5, 3.0), "both samples have one value only, 3.0"),
        (np.full(9, "a"), np.full(5, "a"), "both samples have one value only, 'a'"),
        (np.arange(9.0), np.array([]), "the window has 0 rows without nulls"),
        (np.full(9, np.nan), np.arange(9.0), "the reference 0"),
        (np.arange(9.0), np.array([1.0, np.inf]), "infinite values"),
        (np.arange(9.0), np.arange(9), "the reference has floats, the window integers"),
        (np.arange(9.0), np.array(["a"]), "the reference has floats, the window text"),
    ],
)
def test_not_measurable_says_why(reference: NDArray[Any], window: NDArray[Any], words: str) -> None:
    """A feature for which Azure ML has no number says why."""
    drifts = azure_table({"x": reference}, {"x": window})
    assert drifts
    assert all(words in reason for reason in reasons(drifts))


def test_bins_too_narrow_for_floats() -> None:
    """Bins too narrow for floats make PSI not measurable."""
    sample = np.array([1e17, np.nextafter(1e17, 2e17)] * 8)
    drifts = azure_table({"x": sample}, {"x": sample}, metrics=[Metric.PSI])
    assert reasons(drifts) == ["the values are too close together, or too far apart, for bins of equal width"]


def test_missing_column_is_not_measurable() -> None:
    """A column missing from the window is not measurable."""
    assert reasons(azure_table({"x": LETTERS}, {"y": OTHERS}, metrics=[Metric.PSI])) == [
        "the window has no such column"
    ]


def test_constant_reference_is_measured() -> None:
    """A reference with one value is measured as in Azure ML."""
    assert value(np.full(9, 3.0), np.full(5, 4.0), Metric.WASSERSTEIN) == pytest.approx(1000.0)


def test_unequal_column_lengths_are_refused() -> None:
    """Columns of different lengths are refused."""
    with pytest.raises(InvalidTable, match="same length"):
        azure_table({"x": LETTERS, "y": OTHERS}, {"x": LETTERS})


@given(
    arrays(np.float64, st.integers(1, 30), elements=st.floats() | st.sampled_from([0.0, 1.0])),
    arrays(np.float64, st.integers(0, 30), elements=st.floats() | st.sampled_from([0.0, 1.0])),
)
def test_every_value_is_finite(reference: NDArray[np.float64], window: NDArray[np.float64]) -> None:
    """Every value and noise floor is finite, and what is not measurable has a reason."""
    for drift in azure_table({"x": reference}, {"x": window}):
        if isinstance(drift, NotMeasurable):
            assert drift.reason
        else:
            assert math.isfinite(drift.value)
            assert math.isfinite(drift.noise_floor)
