"""Tails and quantiles: published values, and the relations that define them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from anew.core.statistics.tails import (
    chi_squared_critical,
    chi_squared_tail,
    kolmogorov_tail,
    noncentrality,
    normal_tail,
    student_quantile,
    student_tail,
)


@pytest.mark.parametrize(
    ("alpha", "freedom", "critical"),
    [(0.05, 1, 3.841), (0.05, 10, 18.307), (0.01, 30, 50.892), (0.001, 100, 149.449)],
)
def test_chi_squared_matches_tables(alpha: float, freedom: int, critical: float) -> None:
    """The critical values of chi-squared equal the published tables."""
    assert chi_squared_critical(alpha, freedom) == pytest.approx(critical, abs=5e-4)


@given(st.sampled_from([0.05, 0.01, 0.001, 1e-9]), st.integers(1, 1500))
def test_chi_squared_critical_inverts_tail(alpha: float, freedom: int) -> None:
    """The critical value of chi-squared inverts its tail."""
    assert chi_squared_tail(chi_squared_critical(alpha, freedom), freedom) == pytest.approx(alpha, rel=1e-9)


def test_chi_squared_of_zero() -> None:
    """A chi-squared statistic of zero has probability one."""
    assert chi_squared_tail(0.0, 3) == 1.0


@given(st.floats(1e-6, 1300))
def test_two_degrees_of_freedom_are_exponential(statistic: float) -> None:
    """With two degrees of freedom the tail is exp(-x / 2): also far out, where most digits would be lost."""
    assert chi_squared_tail(statistic, 2) == pytest.approx(math.exp(-statistic / 2), rel=1e-9)


@pytest.mark.parametrize(
    ("probability", "freedom", "quantile"),
    [(0.975, 1, 12.706), (0.95, 5, 2.015), (0.99, 10, 2.764), (0.975, 30, 2.042)],
)
def test_student_matches_tables(probability: float, freedom: int, quantile: float) -> None:
    """The quantiles of Student equal the published tables."""
    assert student_quantile(probability, freedom) == pytest.approx(quantile, abs=5e-4)


@given(st.integers(1, 100_000), st.floats(0.001, 0.999))
def test_student_quantile_inverts_tail(freedom: int, probability: float) -> None:
    """The quantile of Student inverts its tail."""
    assert student_tail(student_quantile(probability, freedom), freedom) == pytest.approx(probability, rel=1e-7)


@pytest.mark.parametrize(("z", "expected"), [(-1.959964, 0.025), (0.0, 0.5), (-10.0, 7.619853e-24)])
def test_normal_tail_is_precise(z: float, expected: float) -> None:
    """The tail of the normal distribution keeps its digits, also far out."""
    assert normal_tail(z) == pytest.approx(expected, rel=1e-6)


@given(st.floats(0, 300), st.integers(1, 25), st.sampled_from([0.2, 0.05, 1e-3]))
def test_noncentrality_inverts_the_cdf(excess: float, freedom: int, probability: float) -> None:
    """The noncentrality places the statistic at the given quantile."""
    statistic = freedom + excess
    found = noncentrality(probability, statistic, freedom)
    assert stats.ncx2.cdf(statistic, freedom, found) == pytest.approx(probability, rel=1e-5)


@pytest.mark.parametrize(("scaled", "alpha"), [(1.2239, 0.1), (1.3581, 0.05), (1.6276, 0.01), (1.9495, 0.001)])
def test_kolmogorov_limit_is_tabled(scaled: float, alpha: float) -> None:
    """Smirnov (1948): the critical distances of two samples of 200 rows are these over sqrt(100)."""
    assert kolmogorov_tail(scaled / 10, 200, 200) == pytest.approx(alpha, rel=1e-3)


@pytest.mark.parametrize(("rows", "others"), [(1000, 5000), (20000, 3000)])
@pytest.mark.parametrize("scaled", [0.8, 1.2, 1.6, 2.0])
def test_kolmogorov_limit_is_conservative(rows: int, others: int, scaled: float) -> None:
    """The Kolmogorov limit is at least the exact tail and at most 20 % higher."""
    effective = rows * others / (rows + others)
    exact = stats.kstwo.sf(scaled / math.sqrt(effective), round(effective))
    assert exact <= kolmogorov_tail(scaled / math.sqrt(effective), rows, others) <= exact * 1.2


def test_kolmogorov_of_zero() -> None:
    """A Kolmogorov distance of zero has probability one."""
    assert kolmogorov_tail(0.0, 10, 10) == 1.0
