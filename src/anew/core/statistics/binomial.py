"""Confidence bounds and tests from counts.

Most are exact. Rare errors are counted, and their distribution is skewed: at the small error probabilities that
repeated measurements leave, a normal approximation would reject good models too often.
"""

import math
from bisect import bisect_right

from scipy import special


def share_at_least(successes: int, trials: int, alpha: float) -> float:
    """The lower bound of a share at one-sided confidence 1 - alpha (Clopper and Pearson 1934)."""
    return float(special.betaincinv(successes, trials - successes + 1, alpha)) if successes else 0.0


def share_at_most(successes: int, trials: int, alpha: float) -> float:
    """The upper bound of a share at one-sided confidence 1 - alpha (Clopper and Pearson 1934)."""
    return float(special.betainccinv(successes + 1, trials - successes, alpha)) if successes < trials else 1.0


def rank_at_most(quantile: float, trials: int, alpha: float) -> int:
    """The greatest rank whose order statistic exceeds the quantile with probability alpha at most; 0 if there is none.

    The order statistic of that rank is a lower bound of the quantile, whatever the distribution.
    """
    return bisect_right(range(trials), alpha, key=lambda below: special.bdtr(below, trials, quantile))


def rank_at_least(quantile: float, trials: int, alpha: float) -> int | None:
    """The smallest rank whose order statistic is below the quantile with probability alpha at most; None if there is
    none. The order statistic of that rank is an upper bound of the quantile.
    """
    from_the_top = rank_at_most(1 - quantile, trials, alpha)
    return trials + 1 - from_the_top if from_the_top else None


def mcnemar_p(only_champion: int, only_challenger: int) -> float:
    """McNemar's exact two-sided p-value: if the models are equally good, each discordant row is a fair coin toss."""
    fewer, total = min(only_champion, only_challenger), only_champion + only_challenger
    return min(1.0, 2 * float(special.bdtr(fewer, total, 0.5)))


def paired_bounds(only_champion: int, only_challenger: int, rows: int, confidence: float) -> tuple[float, float]:
    """Lower and upper one-sided bounds of (challenger - champion) accuracy, each at this confidence.

    The adjusted Wald interval of Bonett and Price (2012), "Adjusted Wald Confidence Interval for a Difference of
    Binomial Proportions Based on Paired Data", J. Educ. Behav. Stat. 37(4). It adds one row to each discordant cell,
    which keeps the size near nominal at small counts, where the plain interval collapses to a point.
    """
    centre, error = adjusted_difference(only_champion, only_challenger, rows)
    reach = float(special.ndtri(confidence)) * error
    return max(centre - reach, -1.0), min(centre + reach, 1.0)


def adjusted_difference(only_champion: int, only_challenger: int, rows: int) -> tuple[float, float]:
    """The centre of paired_bounds, and its standard error."""
    worse, better = (only_champion + 1) / (rows + 2), (only_challenger + 1) / (rows + 2)
    centre = better - worse
    return centre, math.sqrt((worse + better - centre * centre) / (rows + 2))
