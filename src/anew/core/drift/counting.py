"""Counting a column into bins in one pass, near the speed of memory."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from anew.core.drift.distances import Counts

# Values: 2 MB of float64, which stay in a cache for all edges. Comparing so many takes 30 microseconds, long enough
# that threads do not wait for each other between two comparisons.
_BLOCK: Final = 262_144


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """A column in bins: counts of the finite values, and of the others."""

    counts: Counts
    nulls: int
    infinities: int

    @property
    def rows(self) -> int:
        return int(self.counts.sum())


def tally(values: NDArray[np.floating[Any]], edges: tuple[float, ...]) -> Tally:
    """The rows of this float column with edges[b - 1] <= value < edges[b], by b; the outer bins are open.

    A comparison and a count for each edge: 9 of them over a block in the cache take a tenth of the time of a binary
    search for each value (searchsorted), and let other threads run meanwhile. NaN is below no edge.
    """
    below = np.zeros(len(edges), dtype=np.int64)
    limits = [_at_precision(edge, values.dtype) for edge in edges]
    flags = np.empty(_BLOCK, dtype=np.bool_)
    finite = 0
    for start in range(0, len(values), _BLOCK):
        block = np.ascontiguousarray(values[start : start + _BLOCK])
        flag = flags[: len(block)]
        finite += int(np.count_nonzero(np.isfinite(block, out=flag)))
        for index, limit in enumerate(limits):
            below[index] += np.count_nonzero(np.less(block, limit, out=flag))
    if finite == len(values):
        return Tally(np.diff(below, prepend=0, append=finite), 0, 0)
    nulls, lowest = int(np.count_nonzero(np.isnan(values))), int(np.count_nonzero(values == -np.inf))
    return Tally(np.diff(below - lowest, prepend=0, append=finite), nulls, len(values) - finite - nulls)


def _at_precision(edge: float, dtype: np.dtype[np.floating[Any]]) -> np.floating[Any]:
    """The least number of this type that is not below the edge: the same values are below both, and comparing is
    fastest in the column's own type.
    """
    with np.errstate(over="ignore"):
        limit = dtype.type(edge)
    return limit if float(limit) >= edge else np.nextafter(limit, dtype.type(np.inf))
