"""Tail probabilities: agreement with scipy."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from anew.core.drift.tails import (
    chi_squared_critical,
    chi_squared_tail,
    exact_kolmogorov_tail,
    kolmogorov_tail,
    normal_critical,
)


@given(st.floats(1e-6, 3000), st.integers(1, 1500))
def test_chi_squared_tail_agrees_with_scipy(statistic: float, freedom: int) -> None:
    assert chi_squared_tail(statistic, freedom) == pytest.approx(
        special.chdtrc(freedom, statistic), rel=1e-9, abs=1e-300
    )


@given(st.sampled_from([0.05, 0.01, 0.001, 1e-9]), st.integers(1, 300))
def test_chi_squared_critical_agrees_with_scipy(alpha: float, freedom: int) -> None:
    assert chi_squared_critical(alpha, freedom) == pytest.approx(stats.chi2.isf(alpha, freedom), rel=1e-9)


@pytest.mark.parametrize("statistic", [-1.0, 0.0])
def test_a_statistic_of_nothing_has_probability_one(statistic: float) -> None:
    assert chi_squared_tail(statistic, 3) == 1.0


@given(st.floats(1e-9, 1), st.integers(1, 10**7), st.integers(1, 10**7))
def test_kolmogorov_tail_is_scipys_limit(distance: float, rows: int, others: int) -> None:
    limit = special.kolmogorov(distance * math.sqrt(rows * others / (rows + others)))
    assert kolmogorov_tail(distance, rows, others) == pytest.approx(limit, rel=1e-12, abs=1e-14)


@pytest.mark.parametrize(("rows", "others"), [(1000, 5000), (20000, 3000)])
@pytest.mark.parametrize("scaled", [0.8, 1.2, 1.6, 2.0])
def test_kolmogorov_tail_is_near_scipys_asymptotic_mode_and_not_below(rows: int, others: int, scaled: float) -> None:
    effective = rows * others / (rows + others)
    expected = stats.kstwo.sf(scaled / math.sqrt(effective), round(effective))
    got = kolmogorov_tail(scaled / math.sqrt(effective), rows, others)
    assert expected <= got <= expected * 1.2


def paths_outside(rows: int, others: int, excess: int) -> Fraction:
    """The share of orders of two samples in which they come that far apart, by counting those that do not."""
    inside = [[0] * (others + 1) for _ in range(rows + 1)]
    for i, j in itertools.product(range(rows + 1), range(others + 1)):
        ways = (inside[i - 1][j] if i else 0) + (inside[i][j - 1] if j else 0) if i or j else 1
        inside[i][j] = 0 if abs(i * others - j * rows) >= excess else ways
    return 1 - Fraction(inside[rows][others], math.comb(rows + others, rows))


@given(st.integers(1, 15), st.integers(1, 15), st.data())
def test_exact_kolmogorov_tail_is_the_share_of_orders(rows: int, others: int, data: st.DataObject) -> None:
    excess = data.draw(st.integers(1, rows * others))
    expected = float(paths_outside(rows, others, excess))
    assert exact_kolmogorov_tail(excess, rows, others) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("rows", "others", "share"), [(3000, 2000, 0.02), (3000, 2000, 0.2), (1500, 1500, 0.06)])
def test_exact_kolmogorov_tail_keeps_its_digits_for_many_rows(rows: int, others: int, share: float) -> None:
    window = np.linspace(0, 1, others) + share
    test = stats.ks_2samp(np.linspace(0, 1, rows), window, method="exact")
    excess = round(float(test.statistic) * rows * others)
    assert exact_kolmogorov_tail(excess, rows, others) == pytest.approx(float(test.pvalue), rel=1e-8)


def test_no_distance_has_probability_one() -> None:
    assert kolmogorov_tail(0.0, 10, 10) == exact_kolmogorov_tail(0, 10, 10) == 1.0


def test_the_normal_critical_value_is_two_sided() -> None:
    assert normal_critical(0.05) == pytest.approx(1.959964, abs=1e-6)
