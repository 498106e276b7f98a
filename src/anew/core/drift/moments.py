"""The few figures of a numeric sample that a noise floor needs."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from anew.core.drift.distances import Floats


@dataclass(frozen=True, slots=True)
class Moments:
    """Mean, standard deviation and spread in the sample's unit; skewness and excess kurtosis have none.

    `std` is the unbiased one (n - 1), as Spark's stddev which Azure ML divides by; 0 for a single row. `spread` is
    the integral of sqrt(F (1 - F)) over the values, F the distribution function: at least the standard deviation,
    equal to it when there are two values only, the larger the heavier the tails.
    """

    mean: float
    std: float
    skewness: float
    kurtosis: float
    spread: float

    @classmethod
    def of(cls, ordered: Floats) -> Self:
        """Of a sorted sample of finite numbers whose range is finite too."""
        rows, low, width = len(ordered), float(ordered[0]), float(ordered[-1] - ordered[0])
        if width == 0:
            return cls(low, 0.0, 0.0, 0.0, 0.0)
        # On the unit interval no square or fourth power overflows, and none that matters vanishes.
        scaled = (ordered - low) / width
        mean, deviation = float(scaled.mean()), float(scaled.std())
        standard = (scaled - mean) / deviation
        squares = standard * standard
        levels = np.arange(1, rows) / rows
        return cls(
            mean=low + width * mean,
            std=width * deviation * math.sqrt(rows / (rows - 1)),
            skewness=float(np.mean(squares * standard)),
            kurtosis=float(np.mean(squares * squares)) - 3,
            spread=width * float(np.sum(np.sqrt(levels * (1 - levels)) * np.diff(scaled))),
        )
