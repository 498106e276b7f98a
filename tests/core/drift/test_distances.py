"""The formulas: agreement with scipy, and what holds for any input."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import stats
from scipy.spatial import distance

from anew.core.drift.distances import (
    Staircase,
    homogeneity_chi_squared,
    jensen_shannon_distance,
    population_stability_index,
)
from anew.core.drift.profile import choose_points

FLOATS = st.floats(-1e6, 1e6, width=32)
SAMPLES = arrays(np.float64, st.integers(1, 60), elements=st.one_of(FLOATS, st.sampled_from([0.0, 1.0]))).map(np.sort)
COUNTS = arrays(np.int64, 6, elements=st.integers(0, 1000)).filter(lambda counts: counts.sum() > 0)
PAIRS = st.tuples(COUNTS, COUNTS)

Pair = tuple[NDArray[np.int64], NDArray[np.int64]]


def shares(pair: Pair, smoothing: float = 0.0) -> list[NDArray[np.float64]]:
    return [(counts + smoothing) / (counts + smoothing).sum() for counts in pair]


@given(PAIRS)
def test_jensen_shannon_matches_scipy(pair: Pair) -> None:
    """The Jensen-Shannon distance equals that of scipy to base two."""
    expected = distance.jensenshannon(*pair, base=2)
    assert jensen_shannon_distance(*shares(pair)) == pytest.approx(expected, abs=1e-7)


@given(PAIRS)
def test_jensen_shannon_symmetric_and_bounded(pair: Pair) -> None:
    """The Jensen-Shannon distance is symmetric and between zero and one."""
    first, second = shares(pair)
    got = jensen_shannon_distance(first, second)
    assert 0 <= got <= 1
    assert got == pytest.approx(jensen_shannon_distance(second, first), abs=1e-9)


def test_jensen_shannon_of_disjoint_shares() -> None:
    """The Jensen-Shannon distance of disjoint shares is one."""
    assert jensen_shannon_distance(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == 1.0


@given(PAIRS)
def test_psi_symmetric_and_not_negative(pair: Pair) -> None:
    """PSI is symmetric and not negative."""
    first, second = shares(pair, smoothing=0.5)
    got = population_stability_index(first, second)
    assert got >= 0
    assert got == pytest.approx(population_stability_index(second, first))


@given(COUNTS)
def test_equal_shares_have_no_distance(counts: NDArray[np.int64]) -> None:
    """PSI and the Jensen-Shannon distance of equal shares are zero."""
    same = shares((counts, counts), smoothing=0.5)
    assert population_stability_index(*same) == jensen_shannon_distance(*same) == 0


@given(PAIRS)
def test_homogeneity_matches_scipy(pair: Pair) -> None:
    """The chi-squared of homogeneity equals the contingency test of scipy."""
    present = pair[0] + pair[1] > 0
    first, second = (counts[present] for counts in pair)
    expected = stats.chi2_contingency([first, second], correction=False).statistic if present.sum() > 1 else 0.0
    assert homogeneity_chi_squared(first, second) == pytest.approx(expected, abs=1e-7)


def largest_distance(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    places = np.concatenate((first, second))
    heights = [stats.ecdf(sample).cdf.evaluate(places) for sample in (first, second)]
    return float(np.max(np.abs(heights[0] - heights[1])))


@given(SAMPLES, SAMPLES)
def test_full_staircase_is_exact(first: NDArray[np.float64], second: NDArray[np.float64]) -> None:
    """A staircase through every value gives exact Wasserstein and Kolmogorov distances."""
    staircase = Staircase.of(first, np.unique(first))
    assert staircase.largest_gap == 0
    expected = float(stats.wasserstein_distance(first, second))
    assert staircase.wasserstein_distance(second) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert staircase.kolmogorov_distance(second) == pytest.approx(largest_distance(first, second))


@given(SAMPLES, SAMPLES, st.data())
def test_partial_staircase_stays_in_bounds(
    first: NDArray[np.float64], second: NDArray[np.float64], data: st.DataObject
) -> None:
    """A staircase through some values keeps both distances within its stated error."""
    some = data.draw(st.lists(st.sampled_from(list(first)), max_size=5))
    staircase = Staircase.of(first, np.unique([first[0], first[-1], *some]))
    exact = largest_distance(first, second)
    rounding = 1e-12
    got = staircase.kolmogorov_distance(second)
    assert exact - staircase.largest_gap - rounding <= got <= exact + rounding
    area, error = float(stats.wasserstein_distance(first, second)), staircase.wasserstein_distance(first)
    assert abs(staircase.wasserstein_distance(second) - area) <= error + 1e-9 * max(1.0, area)


@pytest.mark.parametrize("rows", [1_002, 2_000, 50_000])
def test_chosen_points_leave_small_gaps(rows: int) -> None:
    """The chosen points include both ends and leave only small gaps."""
    ordered = np.sort(np.random.default_rng(rows).lognormal(size=rows))
    points = choose_points(ordered)
    assert len(points) <= 1001
    assert (points[0], points[-1]) == (ordered[0], ordered[-1])
    assert Staircase.of(ordered, points).largest_gap <= math.pi / 2000 + 1 / rows


def test_float32_rounding_keeps_rows() -> None:
    """Rounding to single precision keeps every row."""
    ordered = np.sort(np.concatenate((np.full(5, 0.1), np.full(3, np.nextafter(0.1, 1)), [7.0])))
    rounded = Staircase.of(ordered, np.unique(ordered)).rounded()
    assert rounded.points.tolist() == [float(np.float32(0.1)), 7.0]
    assert (rounded.before.tolist(), rounded.upto.tolist()) == ([0, 8], [8, 9])
