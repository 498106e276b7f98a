"""Labelled rows in time order, and windows of them."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray


@dataclass(frozen=True)
class Table:
    """Feature values and labels of consecutive rows; first is the position of row 0 in the file it came from.

    Labels that are integers are classes; others are values to predict.
    """

    columns: tuple[str, ...]
    features: NDArray[np.float64]
    labels: NDArray[np.int64] | NDArray[np.float64]
    first: int = 0

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def is_classification(self) -> bool:
        """Whether labels are classes."""
        return self.labels.dtype.kind == "i"

    def window(self, start: int, stop: int) -> "Table":
        """The rows from start up to, not including, stop."""
        return Table(self.columns, self.features[start:stop], self.labels[start:stop], self.first + start)

    def data_hash(self) -> str:
        """A digest of the names and values of these rows: equal exactly when the rows are."""
        digest = hashlib.sha256("\0".join(self.columns).encode())
        for values in (self.features, self.labels):
            digest.update(np.ascontiguousarray(values).tobytes())
        return f"sha256:{digest.hexdigest()}"


def read_frame(path: Path) -> pd.DataFrame:
    """Read a Parquet or CSV file."""
    return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)


def read_table(path: Path, label: str) -> Table:
    """Read a Parquet or CSV file whose columns, except the label, are numbers. Labels that are all whole are classes.

    Raises:
        ValueError: there is no such label column.
    """
    frame = read_frame(path)
    if label not in frame.columns:
        raise ValueError(f"{path.name} has no column {label!r}; it has {', '.join(map(str, frame.columns))}")
    features = frame.drop(columns=[label])
    labels = cast("NDArray[np.float64]", frame[label].to_numpy(dtype=np.float64))
    whole = labels.astype(np.int64)
    return Table(
        tuple(map(str, features.columns)),
        cast("NDArray[np.float64]", features.to_numpy(dtype=np.float64)),
        whole if np.array_equal(whole, labels) else labels,
    )
