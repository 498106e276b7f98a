"""Reading a column: numbers or categories, and nulls."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from anew.errors import InvalidTable

_FLOATS: Final = (np.dtype(np.float32), np.dtype(np.float64))


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """A column of numbers, float32 or float64; None has become NaN."""

    values: NDArray[np.float32] | NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Categories:
    """A column of categories: the count of each, by its text."""

    counts: Mapping[str, int]
    nulls: int

    @property
    def rows(self) -> int:
        return sum(self.counts.values())


def read_column(name: str, column: NDArray[Any]) -> Numbers | Categories:
    """Integers and floats are numbers, as are objects that all are; booleans, text, dates and other objects are
    categories, as in Azure ML.

    A category is the text of its value, so that the number 1 and the text "1" are the same one. Raises InvalidTable
    for anything but one dimension, for complex numbers and the like, and for objects that cannot be counted.
    """
    if column.ndim != 1:
        raise InvalidTable(f"column {name!r} has {column.ndim} dimensions instead of one")
    if column.dtype in _FLOATS and column.dtype.isnative:
        return Numbers(column)
    match column.dtype.kind:
        case "i" | "u" | "f":
            return Numbers(column.astype(np.float64))
        case "b":
            return _read_booleans(column)
        case "O" | "U" | "T":
            return _read_objects(name, column)
        case "M" | "m":
            present = column[~np.isnat(column)].astype(np.str_).tolist()
            return Categories(Counter(present), nulls=len(column) - len(present))
        case _:
            raise InvalidTable(f"column {name!r} is of type {column.dtype}; turn it into numbers, booleans or text")


def null_mask(column: NDArray[Any]) -> NDArray[np.bool_]:
    """The rows in which this column has no value: None, NaN and the like, but not an infinity."""
    match column.dtype.kind:
        case "f":
            return np.isnan(column)
        case "M" | "m":
            return np.isnat(column)
        case "O":
            return np.fromiter((_is_null(value) for value in column), dtype=np.bool_, count=len(column))
        case _:
            return np.zeros(len(column), dtype=np.bool_)


def _read_booleans(column: NDArray[Any]) -> Categories:
    true = int(np.count_nonzero(column))
    counts = {"False": len(column) - true, "True": true}
    return Categories({text: count for text, count in counts.items() if count}, nulls=0)


def _read_objects(name: str, column: NDArray[Any]) -> Numbers | Categories:
    values: list[Any] = column.tolist()
    try:
        distinct = Counter(values)
    except TypeError:
        raise InvalidTable(f"column {name!r} has values that cannot be counted, such as lists") from None
    present = [value for value in distinct if not _is_null(value)]
    if present and all(isinstance(value, Real) and not isinstance(value, bool | np.bool_) for value in present):
        return Numbers(np.array([np.nan if _is_null(value) else float(value) for value in values]))
    counts: Counter[str] = Counter()
    for value in present:
        counts[str(value)] += distinct[value]
    return Categories(dict(counts), nulls=len(values) - counts.total())


def _is_null(value: Any) -> bool:
    if value is None:
        return True
    try:
        return not bool(value == value)  # noqa: PLR0124 - only NaN and NaT differ from themselves
    except TypeError:  # pandas.NA refuses to be true or false
        return True
