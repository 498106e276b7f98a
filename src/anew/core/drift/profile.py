"""The reference profile: figures of the reference rows from which drift is computed without the rows."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from anew.core.drift.columns import Categories, read_column
from anew.core.drift.distances import Floats, Staircase
from anew.core.drift.moments import Moments
from anew.errors import InvalidTable

DEFAULT_BINS: Final = 10
MAX_POINTS: Final = 1001
MAX_CATEGORIES: Final = 1000


@dataclass(frozen=True, slots=True)
class NumericProfile:
    """A numeric feature of the reference.

    rows counts its finite values; nulls (NaN, None) and infinities are in no other figure. Bin b of `counts` holds
    the rows with edges[b - 1] <= value < edges[b], the outer two are open; no bin is empty. `points` are up to 1001
    ascending values, before[k] rows are below points[k] and equal[k] rows equal it. `point_error` is the area between
    the distribution function of all rows and the one that the points give back, in the feature's unit.
    """

    rows: int
    nulls: int
    infinities: int
    minimum: float
    maximum: float
    moments: Moments
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    points: tuple[float, ...]
    before: tuple[int, ...]
    equal: tuple[int, ...]
    point_error: float

    def staircase(self) -> Staircase:
        """The distribution function of the rows, by the points."""
        before, equal = (np.array(counts, dtype=np.int64) for counts in (self.before, self.equal))
        return Staircase(np.array(self.points, dtype=np.float64), before, before + equal, self.rows)


@dataclass(frozen=True, slots=True)
class CategoricalProfile:
    """A categorical feature of the reference: rows by category, the most frequent first, and the `others` in one."""

    rows: int
    nulls: int
    counts: tuple[tuple[str, int], ...]
    others: int


@dataclass(frozen=True, slots=True)
class Unusable:
    """A feature of unknown kind: the reference has no usable value of it."""

    nulls: int
    infinities: int

    @property
    def rows(self) -> int:
        return 0


FeatureProfile = NumericProfile | CategoricalProfile | Unusable


@dataclass(frozen=True, slots=True)
class ReferenceProfile:
    """The profile of each feature, in the order of the reference's columns."""

    features: tuple[tuple[str, FeatureProfile], ...]


def profile_reference(
    table: Mapping[str, NDArray[Any]], *, bins: int = DEFAULT_BINS, max_categories: int = MAX_CATEGORIES
) -> ReferenceProfile:
    """The profile of a table given by columns, for `bins` bins of about equally many rows (there are fewer, or up to
    twice as many, where values repeat).

    Raises InvalidTable for a table without columns or with columns of different lengths, for a column that cannot be
    read, for numbers whose range is beyond a float, and for fewer than two bins or one category.
    """
    if bins < 2 or max_categories < 1:
        raise InvalidTable(f"a profile takes at least 2 bins and 1 category, not {bins} and {max_categories}")
    if len({len(column) for column in table.values() if column.ndim}) != 1:
        raise InvalidTable("the reference needs columns, all of the same length")
    return ReferenceProfile(
        tuple((name, _profile_feature(name, column, bins, max_categories)) for name, column in table.items())
    )


def _profile_feature(name: str, column: NDArray[Any], bins: int, max_categories: int) -> FeatureProfile:
    read = read_column(name, column)
    if isinstance(read, Categories):
        return _profile_categories(read, max_categories) if read.counts else Unusable(read.nulls, infinities=0)
    finite = np.isfinite(read.values)
    nulls = int(np.count_nonzero(np.isnan(read.values)))
    infinities = len(column) - nulls - int(np.count_nonzero(finite))
    ordered = np.sort(read.values[finite].astype(np.float64))
    if not len(ordered):
        return Unusable(nulls, infinities)
    low, high = float(ordered[0]), float(ordered[-1])
    if not math.isfinite(high - low):
        raise InvalidTable(f"column {name!r} reaches from {low} to {high}, too far for arithmetic")
    return _profile_numbers(ordered, nulls, infinities, bins)


def _profile_categories(column: Categories, most: int) -> CategoricalProfile:
    # By count and then by text, so that the same rows in another order give the same profile.
    ranked = sorted(column.counts.items(), key=lambda item: (-item[1], item[0]))
    others = sum(count for _, count in ranked[most:])
    return CategoricalProfile(column.rows, column.nulls, tuple(ranked[:most]), others)


def _profile_numbers(ordered: Floats, nulls: int, infinities: int, bins: int) -> NumericProfile:
    edges = bin_edges(ordered, bins)
    below = np.searchsorted(ordered, edges, side="left")
    staircase = Staircase.of(ordered, choose_points(ordered))
    return NumericProfile(
        rows=len(ordered),
        nulls=nulls,
        infinities=infinities,
        minimum=float(ordered[0]),
        maximum=float(ordered[-1]),
        moments=Moments.of(ordered),
        edges=tuple(edges),
        counts=tuple(np.diff(below, prepend=0, append=len(ordered)).tolist()),
        points=tuple(staircase.points.tolist()),
        before=tuple(staircase.before.tolist()),
        equal=tuple((staircase.upto - staircase.before).tolist()),
        point_error=staircase.wasserstein_distance(ordered),
    )


def bin_edges(ordered: Floats, bins: int) -> Sequence[float]:
    """Edges between `bins` bins of equally many rows, as far as ties allow, none of them empty.

    A value that fills a bin alone gets its own: for a feature that is 0 in 60 % of the rows, those rows are one bin,
    without the next values. An edge is half-way to the neighbouring value, so that a value rounded to single precision
    stays in its bin.
    """
    places: set[int] = set()  # how many rows are below an edge
    for rank in np.arange(1, bins) * len(ordered) // bins:
        first, last = (int(np.searchsorted(ordered, ordered[rank], side=side)) for side in ("left", "right"))
        places.update((first, last) if (last - first) * bins >= len(ordered) else (first,))
    return [_between(float(ordered[at - 1]), float(ordered[at])) for at in sorted(places - {0, len(ordered)})]


def _between(lower: float, upper: float) -> float:
    """Above the lower, and not above the upper; their sum may be too large for a float."""
    middle = lower / 2 + upper / 2
    return middle if lower < middle <= upper else upper


def choose_points(ordered: Floats) -> Floats:
    """All distinct values if they are at most 1001, else 1001 quantiles, the least and greatest among them.

    Their levels are sin^2(pi k / 2000): the distance of neighbouring levels is proportional to sqrt(u (1 - u)), the
    standard error of an empirical distribution function at level u. No two are more than 0.0016 apart, and the tails,
    where a Wasserstein distance is made, get the 0.00001 quantile too.
    """
    distinct = ordered[np.concatenate(([True], ordered[1:] != ordered[:-1]))]
    if len(distinct) <= MAX_POINTS:
        return distinct
    levels = np.sin(np.pi * np.arange(MAX_POINTS) / (2 * (MAX_POINTS - 1))) ** 2
    return np.unique(ordered[np.rint(levels * (len(ordered) - 1)).astype(np.int64)])
