"""Exact confidence bounds from counts: of a share, and of a quantile. The standard library is enough for them.

Exact because rare errors are counted, and errors of a few are skewed: at the small error probabilities that repeated
looks leave, a normal approximation would send good models back many times too often.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Final

_TINY: Final = 1e-300
_PRECISION: Final = 1e-15
_MOST_TERMS: Final = 20_000  # the fraction needs about the square root of the trials
_BISECTIONS: Final = 60


def binomial_tail(successes: int, trials: int, share: float) -> float:
    """P(X >= successes) for X binomial: the regularised incomplete beta function (Abramowitz and Stegun 26.5.24)."""
    if successes <= 0:
        return 1.0
    if successes > trials or share <= 0:
        return 0.0
    if share >= 1:
        return 1.0
    a, b = successes, trials - successes + 1
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(share) + b * math.log1p(-share)
    )
    if share < (a + 1) / (a + b + 2):
        return min(1.0, front * _beta_fraction(a, b, share) / a)
    return max(0.0, 1 - front * _beta_fraction(b, a, 1 - share) / b)


@lru_cache(maxsize=4096)
def share_at_least(successes: int, trials: int, alpha: float) -> float:
    """The lower bound of a share at one-sided confidence 1 - alpha (Clopper and Pearson 1934)."""
    if successes == 0:
        return 0.0
    return _last(lambda share: binomial_tail(successes, trials, share) <= alpha, successes / trials, 0.0)


@lru_cache(maxsize=4096)
def share_at_most(successes: int, trials: int, alpha: float) -> float:
    """The upper bound of a share at one-sided confidence 1 - alpha (Clopper and Pearson 1934)."""
    return 1 - share_at_least(trials - successes, trials, alpha)


@lru_cache(maxsize=4096)
def rank_at_most(quantile: float, trials: int, alpha: float) -> int:
    """The greatest rank whose order statistic lies above the quantile with probability alpha at most; 0 if none does.

    The order statistic of that rank is a lower bound of the quantile, whatever the distribution.
    """
    low, high = 0, trials + 1
    while high - low > 1:
        middle = (low + high) // 2
        above = binomial_tail(trials - middle + 1, trials, 1 - quantile)  # fewer than `middle` lie below
        low, high = (middle, high) if above <= alpha else (low, middle)
    return low


@lru_cache(maxsize=4096)
def rank_at_least(quantile: float, trials: int, alpha: float) -> int | None:
    """The smallest rank whose order statistic lies below the quantile with probability alpha at most; None if none
    does. The order statistic of that rank is an upper bound of the quantile.
    """
    low, high = 0, trials + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if binomial_tail(middle, trials, quantile) <= alpha else (middle, high)
    return high if high <= trials else None


def _last(holds: Callable[[float], bool], above: float, below: float) -> float:
    """The greatest number that `holds`, which does at `below` and not at `above`."""
    for _ in range(_BISECTIONS):
        middle = (above + below) / 2
        above, below = (above, middle) if holds(middle) else (middle, below)
    return below


def _beta_fraction(a: float, b: float, x: float) -> float:
    """The continued fraction of the incomplete beta function, by Lentz's method (DLMF 8.17.22)."""
    c, d = 1.0, 1 / _away_from_zero(1 - (a + b) * x / (a + 1))
    value = d
    for term in range(1, _MOST_TERMS):
        even = term * (b - term) * x / ((a + 2 * term - 1) * (a + 2 * term))
        d, c = 1 / _away_from_zero(1 + even * d), _away_from_zero(1 + even / c)
        value *= d * c
        odd = -(a + term) * (a + b + term) * x / ((a + 2 * term) * (a + 2 * term + 1))
        d, c = 1 / _away_from_zero(1 + odd * d), _away_from_zero(1 + odd / c)
        value *= d * c
        if abs(d * c - 1) < _PRECISION:
            break
    return value


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
