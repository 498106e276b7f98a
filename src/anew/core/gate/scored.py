"""The table of scored rows: its columns as arrays, and hashes of its content."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from anew.core.drift.columns import null_mask
from anew.errors import InvalidTable

LABEL: Final = "label"
CHAMPION: Final = "champion"
CHALLENGER: Final = "challenger"

Array = NDArray[Any]
Booleans = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Columns(Protocol):
    """Named columns of equal length: a data frame, or a dict of arrays."""

    def __iter__(self) -> Iterator[Any]:
        """The names."""
        ...

    def __getitem__(self, name: Any, /) -> Any:
        """One column."""
        ...


class ScoredRows:
    """Rows that both models, or the challenger alone, have scored.

    `label` is the truth; `champion` and `challenger` are the predicted classes or values, `champion_<name>` and
    `challenger_<name>` other outputs of each model, such as its `score`. All other columns describe the row.
    """

    def __init__(self, columns: Columns) -> None:
        """Raises InvalidTable for columns of unequal length, and for no rows."""
        self._arrays = {str(name): np.asarray(columns[name]) for name in columns}
        lengths = {name: array.shape[0] if array.ndim == 1 else -1 for name, array in self._arrays.items()}
        if len(set(lengths.values())) != 1 or -1 in lengths.values():
            listed = ", ".join(f"{name} {length}" for name, length in lengths.items()) or "none"
            raise InvalidTable(f"scored rows need columns of one length; lengths are: {listed}")
        self.rows = next(iter(lengths.values()))
        if self.rows == 0:
            raise InvalidTable("there are no scored rows")

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def column(self, name: str) -> Array:
        """The column, unchanged. Raises InvalidTable when it is missing."""
        if name not in self._arrays:
            raise InvalidTable(f"the scored rows have no column {name!r}; they have {', '.join(sorted(self._arrays))}")
        return self._arrays[name]

    def complete(self, name: str) -> Array:
        """The column, which must have a value in every row. Raises InvalidTable."""
        column = self.column(name)
        if missing := int(np.count_nonzero(null_mask(column))):
            raise InvalidTable(f"column {name!r} has no value in {missing} of {self.rows} rows: leave such rows out")
        return column

    def numbers(self, name: str) -> Floats:
        """The column as finite numbers. Raises InvalidTable."""
        column = self.complete(name)
        try:
            values = column.astype(np.float64)
        except (TypeError, ValueError):
            raise InvalidTable(f"column {name!r} must hold numbers") from None
        if not np.isfinite(values).all():
            raise InvalidTable(f"column {name!r} has values that are not finite")
        return values

    def groups(self, name: str) -> tuple[list[str], Ints]:
        """The distinct values of a column as text, in order, and the position among them of each row's value."""
        column = self.column(name)
        if column.dtype.kind == "O":
            pairs = zip(column.tolist(), null_mask(column).tolist(), strict=True)
            column = np.array(["(none)" if is_null else str(value) for value, is_null in pairs])
        values, codes = np.unique(column, return_inverse=True)
        return [str(value) for value in values.tolist()], codes.astype(np.int64)

    def data_hash(self) -> str:
        """A digest of the rows: every column that no model wrote, by name, in the rows' order."""
        return _digest((name, self._arrays[name]) for name in sorted(self._arrays) if not _is_output(name))

    def scored_hash(self, data_hash: str) -> str:
        """A digest of the models' outputs on the rows of this hash."""
        outputs = ((name, self._arrays[name]) for name in sorted(self._arrays) if _is_output(name))
        return _digest(outputs, data_hash)


def _is_output(name: str) -> bool:
    return name.startswith((CHAMPION, CHALLENGER))


def _digest(columns: Iterable[tuple[str, Array]], begin: str = "") -> str:
    digest = hashlib.sha256(begin.encode())
    for name, column in columns:
        digest.update(f"\0{len(name)}:{name}".encode("utf-8", "surrogatepass"))
        digest.update(_content(column))
    return f"sha256:{digest.hexdigest()}"


def _content(column: Array) -> bytes:
    """The values as bytes, the same for every width and container."""
    match column.dtype.kind:
        case "b" | "i" | "u":
            return np.ascontiguousarray(column, dtype="<i8").tobytes()
        case "f":
            return np.ascontiguousarray(column, dtype="<f8").tobytes()
        case "M" | "m":
            return np.ascontiguousarray(column.astype(f"{column.dtype.kind}8[ns]").astype("<i8")).tobytes()
        case _:
            texts = [str(value) for value in column.tolist()]
            return "".join(f"{len(text)}:{text}" for text in texts).encode("utf-8", "surrogatepass")
