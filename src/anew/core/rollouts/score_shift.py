"""The distance between the scores of two deployments, beside the distance that chance alone gives."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from anew.core.drift.distances import jensen_shannon_distance
from anew.core.drift.noise import jensen_shannon_floor
from anew.core.statistics.tails import noncentrality

LEAST_SCORES: Final = 50
"""Of each deployment. With fewer the chi-squared approximation fails."""

MOST_BINS: Final = 20
LEAST_EXPECTED: Final = 5
"""Scores that a bin is expected to hold of the smaller sample (Cochran 1954)."""


@dataclass(frozen=True, slots=True)
class ScoreShift:
    """The Jensen-Shannon distance (base 2, 0..1) of two samples, and bounds of the distance of their distributions."""

    distance: float
    lower: float
    upper: float
    bins: int


def score_shift(new: Mapping[float, int], old: Mapping[float, int], alpha: float) -> ScoreShift:
    """The distance with one-sided bounds, each at confidence 1 - alpha; both samples have LEAST_SCORES at least.

    By chance alone the squared distance is (1/n + 1/m) / (8 ln 2) times a chi-squared with bins - 1 degrees of freedom
    (core/drift/noise). The distance is a metric (Endres and Schindelin 2003), so noise adds at most its own distance:
    the lower bound subtracts its critical value. For the upper bound the chi-squared is noncentral; a distance below
    the expected noise counts as equal to it.
    """
    groups = _groups(new, old)
    counts = np.array([[sum(each.get(key, 0) for key in group) for group in groups] for each in (old, new)])
    rows, reference_rows = sum(new.values()), sum(old.values())
    freedom = max(len(groups) - 1, 1)
    distance = jensen_shannon_distance(counts[0] / reference_rows, counts[1] / rows)
    lower = max(0.0, distance - jensen_shannon_floor(freedom, rows, reference_rows, alpha))
    unit = (1 / rows + 1 / reference_rows) / (8 * math.log(2))
    upper = math.sqrt(unit * noncentrality(alpha, max(distance**2 / unit, freedom), freedom))
    return ScoreShift(distance, lower, min(1.0, upper), len(groups))


def _groups(new: Mapping[float, int], old: Mapping[float, int]) -> list[list[float]]:
    """Neighbouring buckets merged into at most about MOST_BINS, each with enough scores.

    Both samples count alike, so that swapping them makes no difference.
    """
    rows, reference_rows = sum(new.values()), sum(old.values())
    total = rows + reference_rows
    thin, full = LEAST_EXPECTED * total / min(rows, reference_rows), total / MOST_BINS
    groups: list[list[float]] = []
    held, size = list[float](), 0
    for key in sorted(new.keys() | old.keys()):
        count = new.get(key, 0) + old.get(key, 0)
        if held and (size >= max(full, thin) or (count >= full and size >= thin)):
            groups, held, size = [*groups, held], [], 0
        held, size = [*held, key], size + count
    if groups and size < thin:
        groups[-1] = groups[-1] + held
        return groups
    return [*groups, held]
