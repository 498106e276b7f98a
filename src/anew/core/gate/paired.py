"""The metrics: each with its values for both models, the rows' contributions to their difference, and sums to resample.

The difference is positive when the challenger is better. `contributions` are the rows' parts of its first-order
expansion (its influence function over the number of rows; Hampel 1974): they sum to 0, and the squares of independent
ones to its variance. `sums` holds one row of sufficient figures for each unit, from which `difference` computes the
metric for any weights of the units, as a bootstrap needs.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from anew.core.gate.auc import Auc
from anew.core.gate.metric import GateMetric
from anew.core.gate.scored import Array, Booleans, Floats, Ints


class Paired(Protocol):
    """A metric of both models on the same rows. `better`: 1 when more of it is better, -1 when less is."""

    @property
    def better(self) -> int: ...

    @property
    def rows(self) -> int: ...

    def values(self) -> tuple[float, float]:
        """The champion's and the challenger's."""
        ...

    def contributions(self) -> Floats:
        """The contribution of each row to the difference, beside its mean."""
        ...

    def differs(self) -> Booleans:
        """The rows on which the models' answers differ, as far as the metric can see."""
        ...

    def part(self, rows: Ints) -> "Paired":
        """The same on some of the rows. Raises InvalidTable where the metric is not defined on them."""
        ...


class Resampled(Paired, Protocol):
    """A metric that is a function of sums over rows."""

    def sums(self, units: Ints, count: int) -> Floats:
        """The sums for each of `count` units; units has the unit of each row, from 0."""
        ...

    def difference(self, sums: Floats) -> Floats:
        """The difference for each row of such sums."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Means:
    """Values averaged over rows: right answers (which are counted: 0 or 1), absolute errors, or a column."""

    champion: Floats
    challenger: Floats
    better: int
    counted: bool = False

    @property
    def rows(self) -> int:
        return len(self.champion)

    def values(self) -> tuple[float, float]:
        return float(self.champion.mean()), float(self.challenger.mean())

    def contributions(self) -> Floats:
        difference = self.better * (self.challenger - self.champion)
        return (difference - difference.mean()) / len(difference)

    def differs(self) -> Booleans:
        return self.champion != self.challenger

    def part(self, rows: Ints) -> "Means":
        return Means(self.champion[rows], self.challenger[rows], self.better, self.counted)

    def sums(self, units: Ints, count: int) -> Floats:
        return _summed(units, count, self.better * (self.challenger - self.champion))

    def difference(self, sums: Floats) -> Floats:
        return sums[:, 1] / sums[:, 0]


@dataclass(frozen=True, slots=True, eq=False)
class RootMeans:
    """Root mean squared errors, from the squares; less is better."""

    champion: Floats
    challenger: Floats
    better: int = -1

    @property
    def rows(self) -> int:
        return len(self.champion)

    def values(self) -> tuple[float, float]:
        return float(np.sqrt(self.champion.mean())), float(np.sqrt(self.challenger.mean()))

    def contributions(self) -> Floats:
        return _root_influence(self.champion) - _root_influence(self.challenger)

    def differs(self) -> Booleans:
        return self.champion != self.challenger

    def part(self, rows: Ints) -> "RootMeans":
        return RootMeans(self.champion[rows], self.challenger[rows])

    def sums(self, units: Ints, count: int) -> Floats:
        return _summed(units, count, self.champion, self.challenger)

    def difference(self, sums: Floats) -> Floats:
        return np.sqrt(sums[:, 1] / sums[:, 0]) - np.sqrt(sums[:, 2] / sums[:, 0])


@dataclass(frozen=True, slots=True, eq=False)
class F1:
    """F1 of the positive class when there are two, else the mean of every class among the labels (macro).

    Labels and answers are codes 0 to classes - 1; averaged are the codes whose F1 counts. If weights leave a class
    without rows and answers, its F1 is 0 for both models.
    """

    label: Ints
    champion: Ints
    challenger: Ints
    classes: int
    averaged: Ints
    better: int = 1

    @property
    def rows(self) -> int:
        return len(self.label)

    def values(self) -> tuple[float, float]:
        champion, challenger = self._scores(self.sums(np.zeros(len(self.label), dtype=np.int64), 1))
        return float(champion[0]), float(challenger[0])

    def contributions(self) -> Floats:
        return self._influence(self.challenger) - self._influence(self.champion)

    def differs(self) -> Booleans:
        return self.champion != self.challenger

    def part(self, rows: Ints) -> "F1":
        label, averaged = self.label[rows], self.averaged
        kept = averaged[np.isin(averaged, label)] if len(averaged) > 1 else averaged
        return F1(label, self.champion[rows], self.challenger[rows], self.classes, kept)

    def sums(self, units: Ints, count: int) -> Floats:
        """For each unit and class: labels, then answers and right answers of the champion, then the challenger's."""
        right = (self.champion == self.label, self.challenger == self.label)
        columns = [
            self._counted(units, count, self.label),
            self._counted(units, count, self.champion),
            self._counted(units, count, self.label, right[0]),
            self._counted(units, count, self.challenger),
            self._counted(units, count, self.label, right[1]),
        ]
        return np.stack(columns, axis=1).reshape(count, -1)

    def difference(self, sums: Floats) -> Floats:
        champion, challenger = self._scores(sums)
        return challenger - champion

    def distinct(self) -> tuple["F1", Ints]:
        """One row for each combination of label and answers, and how often it occurs."""
        codes = (self.label * self.classes + self.champion) * self.classes + self.challenger
        if self.classes**3 <= len(codes):
            counts = np.bincount(codes, minlength=self.classes**3)
            cells = np.flatnonzero(counts)
            counts = counts[cells]
        else:
            cells, counts = np.unique(codes, return_counts=True)
        label, answers = np.divmod(cells, self.classes**2)
        return F1(label, answers // self.classes, answers % self.classes, self.classes, self.averaged), counts

    def _counted(self, units: Ints, count: int, codes: Ints, chosen: Booleans | None = None) -> Floats:
        keys = units * self.classes + codes
        kept = keys if chosen is None else keys[chosen]
        return np.bincount(kept, minlength=count * self.classes).reshape(count, self.classes).astype(np.float64)

    def _scores(self, sums: Floats) -> tuple[Floats, Floats]:
        label, *models = np.moveaxis(sums.reshape(len(sums), 5, self.classes)[:, :, self.averaged], 1, 0)
        answered, right = (models[0], models[2]), (models[1], models[3])
        champion, challenger = (
            (2 * hits / np.maximum(label + given, 1e-300)).mean(axis=1)
            for given, hits in zip(answered, right, strict=True)
        )
        return champion, challenger

    def _influence(self, answered: Ints) -> Floats:
        """(2 [hit] - F (<label> + <answered>)) / (labels + answers), averaged over classes."""
        labels, answers = (np.bincount(codes, minlength=self.classes) for codes in (self.label, answered))
        hits = np.bincount(self.label[self.label == answered], minlength=self.classes)
        denominator = np.maximum(labels + answers, 1)
        weight = np.zeros(self.classes)
        weight[self.averaged] = 1 / len(self.averaged)
        weight /= denominator
        loss = 2 * hits / denominator * weight
        return 2 * weight[self.label] * (self.label == answered) - loss[self.label] - loss[answered]


def standard_error(metric: Paired, blocks: Ints | None) -> tuple[float, int]:
    """The standard error of the difference, by its first-order expansion, and the number of independent units.

    Rows of a block are added up first, and only blocks count as independent (for areas that is Obuchowski 1997,
    "Nonparametric Analysis of Clustered ROC Curve Data", Biometrics 53(2)). nan with fewer than two units.
    """
    if blocks is None and isinstance(metric, Auc):
        return metric.standard_error(), metric.rows
    parts = metric.contributions()
    if blocks is not None:
        parts = np.bincount(blocks, weights=parts).astype(np.float64)
    units = len(parts)
    if units < 2:
        return math.nan, units
    return math.sqrt(units / (units - 1) * float(parts @ parts)), units


def paired_errors(metric: GateMetric, label: Floats, champion: Floats, challenger: Floats) -> Means | RootMeans:
    """MAE or RMSE of two predictions."""
    before, after = champion - label, challenger - label
    if metric is GateMetric.RMSE:
        return RootMeans(before * before, after * after)
    return Means(np.abs(before), np.abs(after), better=-1)


def paired_f1(label: Array, champion: Array, challenger: Array) -> F1:
    """The classes are those of labels and answers; of two the greater is the positive one."""
    values, codes = _encoded(label, champion, challenger)
    averaged = np.array([1]) if values == 2 else np.unique(codes[0])
    return F1(codes[0], codes[1], codes[2], values, averaged)


def _encoded(*columns: Array) -> tuple[int, list[Ints]]:
    """The number of distinct values, and each column as the positions of its values among them, in order."""
    joined = np.concatenate(columns)
    if joined.dtype.kind in "biu" and int(joined.min()) >= 0 and int(joined.max()) < len(joined):
        seen = np.bincount(joined) > 0  # counting is quicker than sorting
        codes = (np.cumsum(seen) - 1)[joined.astype(np.intp)]
        distinct = int(np.count_nonzero(seen))
    else:
        values, codes = np.unique(joined, return_inverse=True)
        distinct = len(values)
    return distinct, np.split(codes.astype(np.int64), len(columns))


def _root_influence(squares: Floats) -> Floats:
    mean = float(squares.mean())
    return (squares - mean) / (2 * np.sqrt(mean) * len(squares)) if mean > 0 else np.zeros(len(squares))


def _summed(units: Ints, count: int, *columns: Floats) -> Floats:
    """The number of rows of each unit, then the sums of the columns."""
    sums = [np.bincount(units, weights=column, minlength=count) for column in columns]
    return np.stack([np.bincount(units, minlength=count), *sums], axis=1).astype(np.float64)
