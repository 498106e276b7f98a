"""The areas under the ROC curves of two scores on the same rows, and the standard error of their difference."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from anew.core.gate.scored import Booleans, Floats, Ints
from anew.errors import InvalidTable

_ROUNDING: Final = 1e-12  # of shares of rows


@dataclass(frozen=True, eq=False)
class Auc:
    """Both areas, of rows that have at least two of each class (see checked_auc)."""

    positive: Booleans
    champion: Floats
    challenger: Floats
    better: int = 1

    @property
    def rows(self) -> int:
        return len(self.positive)

    def values(self) -> tuple[float, float]:
        champion, challenger = (float(shares[self.positive].mean()) for shares in self._placements)
        return champion, challenger

    def contributions(self) -> Floats:
        """The structural components of DeLong, each over the rows of its class and around its class's mean."""
        difference, positive = self._placed(), self.positive
        m = int(np.count_nonzero(positive))
        mean = difference[positive].mean()
        return np.where(positive, (difference - mean) / m, (difference - mean) / (len(positive) - m))

    def differs(self) -> Booleans:
        return np.abs(self._placed()) > _ROUNDING

    def part(self, rows: Ints) -> "Auc":
        return checked_auc(self.positive[rows], self.champion[rows], self.challenger[rows])

    def standard_error(self) -> float:
        """Of the difference, for independent rows: the variances of the placements' difference over positive and over
        negative rows, each over its number of rows (DeLong, DeLong and Clarke-Pearson 1988, Biometrics 44(3)).
        """
        parts = self._placed()[self.positive], self._placed()[~self.positive]
        return math.sqrt(sum(float(part.var(ddof=1)) / len(part) for part in parts))

    @cached_property
    def _placements(self) -> tuple[Floats, Floats]:
        return placements(self.positive, self.champion), placements(self.positive, self.challenger)

    def _placed(self) -> Floats:
        champion, challenger = self._placements
        return challenger - champion


def checked_auc(positive: Booleans, champion: Floats, challenger: Floats) -> Auc:
    """Raises InvalidTable unless both classes have two rows."""
    positives = int(np.count_nonzero(positive))
    if min(positives, len(positive) - positives) < 2:
        raise InvalidTable(f"auc needs two rows of each class; {positives} of {len(positive)} are positive")
    return Auc(positive, champion, challenger)


def placements(positive: Booleans, scores: Floats) -> Floats:
    """For each row the share of rows of the other class that its score is on the right side of; ties count half.

    So the area is the mean over the positive rows, and over the negative ones. Both classes need a row. Sorts once, as
    Sun and Xu (2014), "Fast Implementation of DeLong's Algorithm for Comparing the Areas Under Correlated ROC Curves",
    IEEE Signal Process. Lett. 21(11).
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
    return shares
