"""The paired bootstrap, made cheap by resampling the weights of a few units instead of rows.

Drawing n rows with replacement only decides how often each row counts, and a metric that is a function of sums needs
only those counts. There are two ways to need few of them:

- *Cells.* Rows that agree in label and in both answers are interchangeable, so how often each of the few kinds comes
  up is one multinomial draw of n: the same bootstrap, not an approximation of it.
- *Groups.* Otherwise the units, rows or whole blocks, are dealt at random into at most GROUPS groups of equal size,
  and groups are drawn. A random group is a sample like the whole, so the groups' sums are independent and alike, and
  resampling them is the cluster bootstrap (Davison and Hinkley 1997, section 3.8) of the estimator of random groups
  (Wolter 2007, chapter 2). It keeps mean, variance and skewness of the sums. The variance becomes less precise:
  Student's t allows for its relative error of sqrt(2 / (groups - 1)), 9 % for 256. With at most GROUPS units each is
  its own group, which is the plain bootstrap.

Bounds are percentiles at a corrected level: the bootstrap's variance is only (units - 1) / units of the true one, and
its tails are normal. This is the "expanded percentile interval" of Hesterberg (2015), "What Teachers Should Know
About the Bootstrap", Am. Stat. 69(4).
"""

import hashlib
import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from anew.core.gate.paired import F1, Resampled
from anew.core.gate.scored import Floats, Ints
from anew.core.statistics.tails import normal_tail, student_quantile

REPLICATES: Final = 10_000
GROUPS: Final = 256
MOST_CELLS: Final = 256
_CHUNK: Final = 250  # replicates at a time: their weights stay in the cache


@dataclass(frozen=True, slots=True, eq=False)
class Replicates:
    """Differences under resampling, in order; units is the number of independent units resampled."""

    differences: Floats
    units: int

    def bounds(self, confidence: float) -> tuple[float, float]:
        """Lower and upper one-sided bounds."""
        units = self.units
        level = normal_tail(-math.sqrt(units / (units - 1)) * student_quantile(confidence, units - 1))
        lower, upper = np.quantile(self.differences, [level, 1 - level]).tolist()
        return lower, upper

    def standard_error(self) -> float:
        """The replicates' deviation, corrected for the number of units."""
        return float(self.differences.std()) * math.sqrt(self.units / (self.units - 1))


def resample(metric: Resampled, blocks: Ints | None, seed: int, replicates: int = REPLICATES) -> Replicates:
    """The bootstrap of a metric's difference. blocks: the block of each row, 0 to their number - 1, at least two; None
    when rows are independent. The same seed gives the same replicates.
    """
    rng = np.random.default_rng(seed)
    if blocks is None and isinstance(metric, F1):
        distinct, counts = metric.distinct()
        if len(counts) <= MOST_CELLS:
            return _resample_cells(distinct, counts, rng, replicates)
    units = np.arange(metric.rows) if blocks is None else blocks
    return _resample_groups(metric, units, rng, replicates)


def seed_of(*texts: str) -> int:
    """A seed that is the same for the same texts, on every machine."""
    return int.from_bytes(hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).digest()[:8])


def _resample_cells(cells: F1, counts: Ints, rng: np.random.Generator, replicates: int) -> Replicates:
    total = int(counts.sum())
    sums = cells.sums(np.arange(len(counts)), len(counts))
    weights = rng.multinomial(total, counts / total, size=replicates)
    return Replicates(np.sort(cells.difference(weights.astype(np.float64) @ sums)), total)


def _resample_groups(metric: Resampled, units: Ints, rng: np.random.Generator, replicates: int) -> Replicates:
    count = int(units.max()) + 1
    groups = min(count, GROUPS)
    dealt = units if groups == count else (rng.permutation(count) % groups)[units]
    sums = metric.sums(dealt, groups)
    parts = [
        metric.difference(_weights(rng, groups, min(_CHUNK, replicates - start)) @ sums)
        for start in range(0, replicates, _CHUNK)
    ]
    return Replicates(np.sort(np.concatenate(parts)), groups)


def _weights(rng: np.random.Generator, groups: int, replicates: int) -> NDArray[np.float64]:
    """The count of each group in `groups` draws, for each replicate."""
    drawn = rng.integers(0, groups, size=(replicates, groups), dtype=np.uint16)
    keys = drawn + (np.arange(replicates) * groups)[:, None]
    return np.bincount(keys.ravel(), minlength=replicates * groups).reshape(replicates, groups).astype(np.float64)
