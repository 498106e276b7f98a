"""Columns of any type as numbers that models can be trained on."""

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

MOST_CLASSES: Final = 100
ONE_HOT_UP_TO: Final = 10


def encode_features(frame: "pd.DataFrame") -> tuple[Floats, dict[str, npt.NDArray[Any]]]:
    """Features as float32, (rows, encoded columns), NaN where missing, and the columns as they were.

    Numbers and booleans stay one column; infinities are missing values. A date becomes its hour and its weekday: its
    position in time would only be extrapolated. Text of up to 10 different values becomes one column each, more are
    numbered in order of appearance, so that no later row shapes the code of an earlier one. Constant columns go.
    """
    encoded: list[npt.NDArray[np.float64]] = []
    table: dict[str, npt.NDArray[Any]] = {}
    for name in frame.columns:
        columns, original = _encode(frame[name])
        encoded += [column for column in columns if _varies(column)]
        if original is not None:
            table[str(name)] = original
    if not encoded:
        return np.empty((len(frame), 0), dtype=np.float32), table
    return np.column_stack(encoded).astype(np.float32), table


def encode_labels(column: "pd.Series[Any]") -> tuple[Integers, tuple[str, ...]]:
    """Labels as 0 to classes-1, and the names of the classes.

    Raises:
        ValueError: the labels are one class only, or too many to be classes; completes a sentence about the column.
    """
    import pandas as pd

    codes, values = pd.factorize(column, sort=True)
    if len(values) < 2:
        raise ValueError("has a single value: there is nothing to predict")
    fractions = pd.api.types.is_float_dtype(column) and bool((column % 1 != 0).any())
    if fractions or len(values) > MOST_CLASSES:
        raise ValueError(f"has {len(values)} different values: only classification can be replayed")
    return codes.astype(np.int64), tuple(map(str, values))


def _encode(column: "pd.Series[Any]") -> tuple[list[npt.NDArray[np.float64]], npt.NDArray[Any] | None]:
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(column):
        moments = column.dt
        return [moments.hour.to_numpy(np.float64), moments.day_of_week.to_numpy(np.float64)], None
    if pd.api.types.is_bool_dtype(column):
        flags = column.to_numpy(np.float64, na_value=np.nan)
        return [flags], column.astype(object).to_numpy()
    if pd.api.types.is_numeric_dtype(column):
        numbers = column.to_numpy(np.float64, na_value=np.nan)
        return [np.where(np.isfinite(numbers), numbers, np.nan)], numbers
    texts = column.astype(object)
    return _encode_text(texts), texts.where(texts.notna(), None).to_numpy()


def _encode_text(column: "pd.Series[Any]") -> list[npt.NDArray[np.float64]]:
    import pandas as pd

    codes, values = pd.factorize(column.map(str, na_action="ignore"))
    if len(values) <= ONE_HOT_UP_TO:
        return [(codes == code).astype(np.float64) for code in range(len(values))]
    return [np.where(codes < 0, np.nan, codes).astype(np.float64)]


def _varies(column: npt.NDArray[np.float64]) -> bool:
    known = column[~np.isnan(column)]
    return len(known) > 0 and bool((known != known[0]).any() or len(known) < len(column))
