"""Page's one-sided cumulative sum (Biometrika 41, 1954)."""

import sys
from collections.abc import Iterable


def cusum(steps: Iterable[float]) -> float:
    """The sum of the steps, which never falls below 0: S = max(0, S + step).

    NaN sets the sum back to 0, because max(0.0, NaN) is 0.0; the sum stays finite.
    """
    total = 0.0
    for step in steps:
        total = min(max(0.0, total + step), sys.float_info.max)
    return total
