"""Reading columns: what is a number, what a category, what nothing."""

from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from anew.core.drift.columns import Categories, Numbers, null_mask, read_column
from anew.core.drift.counting import tally
from anew.errors import InvalidTable


def objects(*values: Any) -> NDArray[Any]:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def categories(column: NDArray[Any]) -> tuple[dict[str, int], int]:
    read = read_column("x", column)
    assert isinstance(read, Categories)
    return dict(read.counts), read.nulls


@pytest.mark.parametrize("dtype", [np.int8, np.uint64, np.float16, np.float32, np.float64, ">f8", ">i4"])
def test_any_number_type_is_numeric(dtype: str) -> None:
    """A column of any integer or float type is numeric."""
    read = read_column("x", np.array([1, 2, 3], dtype=dtype))
    assert isinstance(read, Numbers)
    assert np.array_equal(read.values, [1.0, 2.0, 3.0])


def test_numeric_objects_are_numeric() -> None:
    """Objects that are all numbers are numeric, with missing values as NaN."""
    read = read_column("x", objects(1, None, 2.5, np.float32(3), pd.NA, float("inf")))
    assert isinstance(read, Numbers)
    assert np.array_equal(read.values, [1, np.nan, 2.5, 3, np.nan, np.inf], equal_nan=True)


def test_category_is_text_of_value() -> None:
    """A category is the text of its value, and missing values count as nulls."""
    assert categories(objects("1", 1, "a", None, float("nan"), pd.NaT, pd.NA)) == ({"1": 2, "a": 1}, 4)
    assert categories(objects(Decimal("1.5"), date(2024, 1, 2))) == ({"1.5": 1, "2024-01-02": 1}, 0)
    assert categories(np.array(["b", "", "b"])) == ({"b": 2, "": 1}, 0)


def test_dates_are_categories() -> None:
    """Dates are categories, and a missing date is a null."""
    dates = np.array(["2024-01-02", "NaT", "2024-01-02", "2024-01-03"], dtype="datetime64[ns]")
    counts, nulls = categories(dates)
    assert (sorted(counts.values()), nulls) == ([1, 2], 1)
    assert null_mask(dates).tolist() == [False, True, False, False]


def test_booleans_are_categories() -> None:
    """Booleans are categories."""
    assert categories(np.array([True, False, True])) == ({"True": 2, "False": 1}, 0)
    assert categories(objects(True, None, True)) == ({"True": 2}, 1)


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (np.zeros((2, 2)), "2 dimensions"),
        (np.array(5.0), "0 dimensions"),
        (np.array([1j]), "complex"),
        (objects([1], [2]), "cannot be counted"),
    ],
)
def test_unreadable_column_is_refused(column: NDArray[Any], words: str) -> None:
    """A column that cannot be read is refused by name."""
    with pytest.raises(InvalidTable, match=f"'x'.*{words}"):
        read_column("x", column)


def test_nulls_exclude_infinities() -> None:
    """Nulls are missing values and NaN, but not infinities."""
    assert null_mask(np.array([np.nan, np.inf, 1.0])).tolist() == [True, False, False]
    assert null_mask(objects(None, "a", float("nan"), pd.NA)).tolist() == [True, False, True, True]
    assert null_mask(np.array([1, 2])).tolist() == null_mask(np.array(["", "a"])).tolist() == [False, False]


@given(
    arrays(st.sampled_from([np.float32, np.float64]), st.integers(0, 40), elements=st.floats(width=32)),
    st.lists(st.floats(allow_nan=False, allow_infinity=False), unique=True, max_size=5).map(sorted),
)
def test_tally_matches_numpy(values: NDArray[Any], edges: list[float]) -> None:
    """A tally equals the histogram of numpy over the finite values."""
    counted = tally(values, tuple(edges))
    finite = values[np.isfinite(values)].astype(np.float64)
    expected = np.bincount(np.searchsorted(edges, finite, side="right"), minlength=len(edges) + 1)
    assert counted.counts.tolist() == expected.tolist()
    assert counted.rows == len(finite)
    assert (counted.nulls, counted.infinities) == (np.isnan(values).sum(), np.isinf(values).sum())


def test_tally_counts_all_blocks() -> None:
    """A tally over many blocks counts every row."""
    values = np.random.default_rng(0).permutation(600_001).astype(np.float64)
    assert tally(values, (0.5, 100_000.0)).counts.tolist() == [1, 99_999, 500_001]
    assert tally(values[::2], ()).rows == 300_001
