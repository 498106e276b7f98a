"""Tails and quantiles of the tests' distributions, by their names."""

import math

from scipy import special


def normal_tail(z: float) -> float:
    """P(Z <= z) of a standard normal, accurate far out in the lower tail."""
    return float(special.ndtr(z))


def student_tail(t: float, freedom: int) -> float:
    """P(T <= t) of Student's t."""
    return float(special.stdtr(freedom, t))


def student_quantile(probability: float, freedom: int) -> float:
    """The t below which Student's t falls with this probability."""
    return float(special.stdtrit(freedom, probability))


def chi_squared_tail(statistic: float, freedom: int) -> float:
    """P(X >= statistic) for X chi-squared with freedom >= 1."""
    return float(special.chdtrc(freedom, statistic))


def chi_squared_critical(alpha: float, freedom: int) -> float:
    """The x with chi_squared_tail(x, freedom) == alpha, for 0 < alpha < 1 and freedom >= 1."""
    return float(special.chdtri(freedom, alpha))


def noncentrality(probability: float, statistic: float, freedom: int) -> float:
    """The noncentrality that puts a noncentral chi-squared below the statistic with this probability."""
    return float(special.chndtrinc(statistic, freedom, probability))


def kolmogorov_tail(distance: float, rows: int, others: int) -> float:
    """P(D >= distance) for two samples of one continuous distribution, by Kolmogorov's limit.

    It is never far below the exact probability, and above it for small samples and for samples with ties: a test
    with it errs to the side of "no drift".
    """
    return float(special.kolmogorov(distance * math.sqrt(rows * others / (rows + others))))
