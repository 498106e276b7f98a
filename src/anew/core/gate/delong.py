"""Areas under the ROC curve of two scores on the same rows, and how sure their difference is."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anew.core.gate.scored import Floats


@dataclass(frozen=True, slots=True, eq=False)
class Placements:
    """The area, and for each row the share of rows of the other class that its score is on the right side of.

    Ties count half, so the area is the mean placement of the positive rows, and of the negative ones.
    """

    area: float
    shares: Floats


def placements(positive: NDArray[np.bool_], scores: Floats) -> Placements:
    """Both classes must be there. One sort, as Sun and Xu (2014), "Fast Implementation of DeLong's Algorithm for
    Comparing the Areas Under Correlated ROC Curves", IEEE Signal Process. Lett. 21(11).
    """
    order = np.argsort(scores)
    ranked, sign = scores[order], positive[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))  # the last row of each tie
    length = np.diff(last, prepend=-1)
    positives = np.cumsum(sign)[last]  # up to and with each tie
    negatives = last + 1 - positives
    tied_positives, tied_negatives = np.diff(positives, prepend=0), np.diff(negatives, prepend=0)
    m, n = int(positives[-1]), int(negatives[-1])
    below = (negatives - tied_negatives / 2) / n  # for positive rows: negatives below them
    above = (m - positives + tied_positives / 2) / m  # for negative rows: positives above them
    shares = np.empty(len(scores))
    shares[order] = np.where(sign, np.repeat(below, length), np.repeat(above, length))
    return Placements(float(shares[positive].mean()), shares)


def difference_error(positive: NDArray[np.bool_], difference: Floats) -> float:
    """The standard error of the difference of two areas, given the rows' difference of placements.

    DeLong, DeLong and Clarke-Pearson (1988), Biometrics 44(3): the variances of the placements' difference over
    positive and over negative rows, each over its number of rows. nan with a single row of a class.
    """
    parts = (difference[positive], difference[~positive])
    if min(map(len, parts)) < 2:
        return math.nan
    return math.sqrt(sum(float(part.var(ddof=1)) / len(part) for part in parts))
