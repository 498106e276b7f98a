"""Tails and quantiles of the tests, so that judging needs the standard library only."""

import math
from functools import lru_cache
from statistics import NormalDist
from typing import Final

_NORMAL: Final = NormalDist()
_NEGLIGIBLE: Final = 1e-17


@lru_cache(maxsize=256)
def normal_quantile(probability: float) -> float:
    """The z below which a standard normal falls with this probability."""
    return _NORMAL.inv_cdf(probability)


def normal_tail(z: float) -> float:
    """P(Z <= z) of a standard normal, with its digits kept far out in the lower tail."""
    return 0.5 * math.erfc(-z / math.sqrt(2))


def student_to_normal(t: float, freedom: int) -> float:
    """The z with the same tail as this t.

    Wallace (1959), "Bounds on Normal Approximations to Student's and the Chi-Square Distributions": within 2 % of
    z from 4 degrees of freedom on, for z up to 4.
    """
    z = (8 * freedom + 1) / (8 * freedom + 3) * math.sqrt(freedom * math.log1p(t * t / freedom))
    return math.copysign(z, t)


def student_quantile(probability: float, freedom: int) -> float:
    """The t below which Student's t falls with this probability: student_to_normal, turned round."""
    z = normal_quantile(probability)
    scaled = z * (8 * freedom + 3) / (8 * freedom + 1)
    return math.copysign(math.sqrt(freedom * math.expm1(scaled * scaled / freedom)), z)


def paired_bounds(only_champion: int, only_challenger: int, rows: int, confidence: float) -> tuple[float, float]:
    """Lower and upper one-sided bounds of (challenger - champion) accuracy, each at this confidence.

    The adjusted Wald interval of Bonett and Price (2012), "Adjusted Wald Confidence Interval for a Difference of
    Binomial Proportions Based on Paired Data", J. Educ. Behav. Stat. 37(4): one row is added to each discordant
    cell, which keeps the size near nominal at small counts, where the plain interval collapses to a point.
    """
    centre, error = adjusted_difference(only_champion, only_challenger, rows)
    reach = normal_quantile(confidence) * error
    return max(centre - reach, -1.0), min(centre + reach, 1.0)


def adjusted_difference(only_champion: int, only_challenger: int, rows: int) -> tuple[float, float]:
    """The centre of paired_bounds, and its standard error."""
    worse, better = (only_champion + 1) / (rows + 2), (only_challenger + 1) / (rows + 2)
    centre = better - worse
    return centre, math.sqrt((worse + better - centre * centre) / (rows + 2))


def mcnemar_p(only_champion: int, only_challenger: int) -> float:
    """McNemar's exact two-sided p-value: each discordant row is a fair coin when the models are equally good."""
    fewer, total = min(only_champion, only_challenger), only_champion + only_challenger
    log_term = math.lgamma(total + 1) - math.lgamma(fewer + 1) - math.lgamma(total - fewer + 1) - total * math.log(2)
    term = tail = 1.0
    for count in range(fewer, 0, -1):
        term *= count / (total - count + 1)
        tail += term
        if term < _NEGLIGIBLE * tail:
            break
    return min(1.0, 2 * tail * math.exp(log_term))
