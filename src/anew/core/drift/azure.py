"""Drift as Azure ML's model monitor computes it, to the digit: from reference rows and window rows.

Rows and columns are treated as in its public source (see `azure_formulas`): a row with a null in any column is left
out, integer columns with few distinct values are categories, columns of different types are not compared, one outlier
widens all bins, and Kolmogorov-Smirnov is refused from 10,000 rows on. It is unverified that the hosted service runs
this source. Where the source would fail or return NaN, the result here is a reason why there is no value.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from anew.core.drift.azure_formulas import categorical_metric, numeric_metric
from anew.core.drift.columns import Categories, Numbers, null_mask, read_column
from anew.core.drift.distances import Floats
from anew.core.drift.values import (
    CATEGORICAL_METRICS,
    DEFAULT_ALPHA,
    NUMERIC_METRICS,
    Computed,
    Drift,
    Metric,
    Rows,
    outcome,
)
from anew.errors import InvalidTable

_DISTINCT_SHARE: Final = 0.05  # below it an integer column is categorical
_TYPES: Final = {"f": "floats", "i": "integers", "u": "integers", "b": "booleans", "O": "text", "U": "text"}

Table = Mapping[str, NDArray[Any]]


def azure_table(
    reference: Table, window: Table, *, metrics: Collection[Metric] = tuple(Metric), alpha: float = DEFAULT_ALPHA
) -> tuple[Drift, ...]:
    """The drift of each column of the reference by each of these metrics that applies to its kind, in that order.

    The rows of a value are those without a null in any column of their table; its nulls are the rows of the window
    left out. Raises InvalidTable for columns of different lengths in one table, and for a column that cannot be read.
    """
    known, seen = _plain(reference), _plain(window)
    complete, current = _without_nulls(known), _without_nulls(seen)
    rows = Rows(_length(current), _length(complete), nulls=_length(seen) - _length(current))
    drifts: list[Drift] = []
    for name, column in known.items():
        categorical = _is_categorical(column)
        asked = [each for each in metrics if each in (CATEGORICAL_METRICS if categorical else NUMERIC_METRICS)]
        reason = _incomparable(complete[name], current.get(name), rows)
        if reason is not None:
            drifts += [outcome(name, metric, reason, rows) for metric in asked]
            continue
        compute = _compute_categorical if categorical else _compute_numeric
        computed = compute(name, complete[name], current[name], asked, alpha)
        drifts += [outcome(name, metric, each, rows) for metric, each in zip(asked, computed, strict=True)]
    return tuple(drifts)


def _plain(table: Table) -> Table:
    """The table, with object columns that hold numbers converted to floats."""
    if len({column.shape for column in table.values()}) > 1:
        raise InvalidTable("the columns of a table are not of the same length")
    read = {name: read_column(name, column) for name, column in table.items()}
    floats = {name: each.values for name, each in read.items() if isinstance(each, Numbers)}
    return {
        name: floats[name] if column.dtype.kind == "O" and name in floats else column for name, column in table.items()
    }


def _without_nulls(table: Table) -> Table:
    missing = np.zeros(_length(table), dtype=np.bool_)
    for column in table.values():
        missing |= null_mask(column)
    return {name: column[~missing] for name, column in table.items()}


def _length(table: Table) -> int:
    return max((len(column) for column in table.values()), default=0)


def _is_categorical(column: NDArray[Any]) -> bool:
    """Text and booleans are categorical; integers are if less than 5 % of the reference's values are distinct."""
    if column.dtype.kind in "iu":
        return len(np.unique(column)) < _DISTINCT_SHARE * len(column)
    return column.dtype.kind != "f"


def _incomparable(reference: NDArray[Any], window: NDArray[Any] | None, rows: Rows) -> str | None:
    if window is None:
        return "the window has no such column"
    had, has = (_TYPES.get(column.dtype.kind, str(column.dtype)) for column in (reference, window))
    if had != has:
        return f"the reference has {had}, the window {has}"
    if not rows.window or not rows.reference:
        return f"the window has {rows.window} rows without nulls, the reference {rows.reference}"
    return None


def _compute_numeric(
    name: str, reference: NDArray[Any], window: NDArray[Any], metrics: Collection[Metric], alpha: float
) -> list[Computed | str]:
    known, seen = _sorted(reference), _sorted(window)
    if not np.isfinite([known[0], known[-1], seen[0], seen[-1]]).all():
        return [f"{name} has infinite values, for which there are no bins"] * len(metrics)
    return [numeric_metric(metric, known, seen, alpha) for metric in metrics]


def _sorted(column: NDArray[Any]) -> Floats:
    return np.sort(column.astype(np.float64))


def _compute_categorical(
    name: str, reference: NDArray[Any], window: NDArray[Any], metrics: Collection[Metric], alpha: float
) -> list[Computed | str]:
    known, seen = _categories(name, reference), _categories(name, window)
    return [categorical_metric(metric, known, seen, alpha) for metric in metrics]


def _categories(name: str, column: NDArray[Any]) -> Categories:
    read = read_column(name, column.astype(np.str_) if column.dtype.kind in "iu" else column)
    assert isinstance(read, Categories), "only text, booleans and integers get here"
    return read
