"""The formulas themselves, over counts and sorted samples. Nothing here knows of features, profiles or nulls."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


def population_stability_index(reference: Floats, window: Floats) -> float:
    """Sum of (window - reference) * ln(window / reference) over shares in (0, 1]; 0 to infinity, symmetric."""
    return float(np.sum((window - reference) * np.log(window / reference)))


def jensen_shannon_distance(reference: Floats, window: Floats) -> float:
    """The square root of the Jensen-Shannon divergence to base 2 of two vectors of shares; 0..1, symmetric."""
    middle = (reference + window) / 2
    divergence = float(np.sum(special.rel_entr(reference, middle) + special.rel_entr(window, middle))) / 2
    # Rounding can put a divergence of 0 or 1 slightly outside.
    return math.sqrt(min(max(divergence / math.log(2), 0.0), 1.0))


def homogeneity_chi_squared(reference: Counts, window: Counts) -> float:
    """Pearson's statistic of two rows of counts, both drawn, over the same bins; chi-squared with bins - 1 degrees
    of freedom if they come from the same distribution. Every bin needs a count in one of them.
    """
    ratio = math.sqrt(window.sum() / reference.sum())
    return float(np.sum((reference * ratio - window / ratio) ** 2 / (reference + window)))


@dataclass(frozen=True, slots=True, eq=False)
class Staircase:
    """A distribution function of a sample, exact at some points and straight between them.

    At points[k] (ascending, all different) it jumps from before[k] / rows to upto[k] / rows. The rows between two
    points are assumed to be spread evenly; without any it is the sample's own function.
    """

    points: Floats
    before: Counts
    upto: Counts
    rows: int

    @classmethod
    def of(cls, ordered: Floats, points: Floats) -> Self:
        """The function of this sorted sample, exact at these points, which include its least and greatest."""
        before, upto = (np.searchsorted(ordered, points, side=side).astype(np.int64) for side in ("left", "right"))
        return cls(points, before, upto, len(ordered))

    def rounded(self) -> Self:
        """The function with its points in single precision."""
        rounded = self.points.astype(np.float32).astype(np.float64)
        starts = np.flatnonzero(np.concatenate(([True], rounded[1:] != rounded[:-1])))
        ends = np.append(starts[1:], len(rounded)) - 1
        return type(self)(rounded[starts], self.before[starts], self.upto[ends], self.rows)

    @property
    def largest_gap(self) -> float:
        """The greatest share of rows between two neighbouring points, in 0..1."""
        gaps = self.before[1:] - self.upto[:-1]
        return int(gaps.max(initial=0)) / self.rows

    def kolmogorov_distance(self, ordered: Floats) -> float:
        """The greatest vertical distance at the points to the function of this sorted sample, in 0..1.

        At most D, and at least D - largest_gap: from one point to the next both functions only rise, so between them
        the difference exceeds that at the ends by no more than the rise of one function.
        """
        below = np.searchsorted(ordered, self.points, side="left") / len(ordered)
        above = np.searchsorted(ordered, self.points, side="right") / len(ordered)
        distances = np.abs(below - self.before / self.rows), np.abs(above - self.upto / self.rows)
        return float(np.max(distances))

    def wasserstein_distance(self, ordered: Floats) -> float:
        """The area between this function and that of a sorted sample, in the unit of the points."""
        at = np.searchsorted(ordered, self.points, side="left")
        merged = np.insert(ordered, at, self.points)
        starts = at + np.arange(len(at))
        passed = np.repeat(np.arange(len(at) + 1), np.diff(starts, prepend=0, append=len(merged)))[:-1]
        sample = (np.arange(1, len(merged)) - passed) / len(ordered)
        left, right = (self._heights(passed, x) - sample for x in (merged[:-1], merged[1:]))
        return float(np.sum(_mean_absolute(left, right) * np.diff(merged)))

    def _heights(self, passed: NDArray[np.intp], x: Floats) -> Floats:
        """Heights at these x, each within or at the end of the stretch after so many points."""
        start = np.concatenate(([0], self.upto)) / self.rows
        rise = np.concatenate(([0], self.before[1:] - self.upto[:-1], [0])) / self.rows
        origin = np.concatenate((self.points[:1], self.points))
        width = np.concatenate(([1.0], np.diff(self.points), [1.0]))
        return start[passed] + rise[passed] * ((x - origin[passed]) / width[passed])


def _mean_absolute(left: Floats, right: Floats) -> Floats:
    """The mean of |line| over a stretch, for lines between these heights: a triangle on either side of a crossing."""
    ends = np.abs(left) + np.abs(right)
    crossing = (left * left + right * right) / (2 * np.where(ends > 0, ends, 1.0))
    return np.where(left * right < 0, crossing, ends / 2)
