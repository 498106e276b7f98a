"""A history of labelled rows in batches: reads it from a file, and refuses files that are none."""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from anew.backtest.history.columns import encode_features, encode_labels
from anew.errors import InvalidStream

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

DEFAULT_WINDOW: Final = 8
_AT_LEAST_SCORED: Final = 3
_READERS: Final = {".parquet": "read_parquet", ".csv": "read_csv"}


@dataclass(frozen=True)
class Stream:
    """Labelled rows, batch by batch in time order.

    features: (rows, encoded columns), NaN where missing. labels: (rows,), 0 to classes-1. starts: (batches+1,), the
    first row of each batch and the end of the last. table: the feature columns as they were read, for drift metrics.
    unlabelled: rows left out because they had no label. digest: equal exactly when what is trained on is.
    """

    name: str
    features: Floats
    labels: Integers
    starts: Integers
    table: Mapping[str, npt.NDArray[Any]]
    classes: tuple[str, ...]
    unlabelled: int = 0

    def __len__(self) -> int:
        """The number of batches."""
        return len(self.starts) - 1

    @property
    def rows(self) -> Integers:
        """The number of rows of each batch, (batches,)."""
        return np.diff(self.starts)

    @cached_property
    def digest(self) -> str:
        content = hashlib.sha256(repr(self.features.shape).encode())
        for values in (self.features, self.labels, self.starts):
            content.update(np.ascontiguousarray(values).tobytes())
        return content.hexdigest()

    def span(self, first: int, last: int) -> slice:
        """The rows of batches first to last, both included."""
        return slice(int(self.starts[max(0, first)]), int(self.starts[last + 1]))

    def columns(self, rows: slice) -> dict[str, npt.NDArray[Any]]:
        """These rows of the feature columns as they were read."""
        return {name: values[rows] for name, values in self.table.items()}


def read_stream(
    path: Path, *, label: str, batch: str | int, window: int = DEFAULT_WINDOW, ignore: Collection[str] = ()
) -> Stream:
    """The stream in a Parquet or CSV file. `batch` names the batch column, or is the number of rows of each batch.

    Every other column is a feature, but those to ignore. Numbers, booleans and dates order the batches by value, text
    by first appearance; with a number of rows, the file's order counts, and what is left over at the end is dropped.
    `window` is the number of batches a model is trained on; a few more are needed to score it.

    Raises:
        InvalidStream: the file or a column cannot be used; the message says which and why.
    """
    frame = _read(path)
    named = [label] if isinstance(batch, int) else [label, batch]
    absent = [name for name in named if name not in frame.columns]
    if absent:
        raise InvalidStream(f"{path.name} has no column {absent[0]!r}; it has {', '.join(map(str, frame.columns))}")
    if label == batch:
        raise InvalidStream(f"the column {label!r} cannot be both label and batch")
    numbers = _batch_numbers(frame, batch, path.name)
    usable = (numbers >= 0) & frame[label].notna().to_numpy(bool)
    order = np.flatnonzero(usable)[np.argsort(numbers[usable], kind="stable")]
    _, counts = np.unique(numbers[order], return_counts=True)
    _check_batches(len(counts), window, path.name)
    ordered = frame.iloc[order]
    unused = [name for name in ignore if name in frame.columns and name not in named]
    features, table = encode_features(ordered.drop(columns=[*named, *unused]))
    if not features.shape[1]:
        raise InvalidStream(f"{path.name} has no feature that varies beside {', '.join(map(repr, named))}")
    labels, classes = _labels(ordered[label], path.name)
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    unlabelled = int((numbers >= 0).sum()) - len(order)
    return Stream(path.stem, features, labels, starts, table, classes, unlabelled)


def shuffled(stream: Stream, seed: int) -> Stream:
    """The same rows in random order, in batches of the same sizes: nothing drifts, by construction."""
    order = np.random.default_rng(seed).permutation(len(stream.labels))
    return replace(
        stream,
        name=f"{stream.name}-shuffled",
        features=stream.features[order],
        labels=stream.labels[order],
        table={name: values[order] for name, values in stream.table.items()},
    )


def _read(path: Path) -> "pd.DataFrame":
    import pandas as pd

    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InvalidStream(f"{path} is neither Parquet nor CSV")
    try:
        return getattr(pd, reader)(path)
    # pandas and pyarrow raise errors of their own for a file whose content does not match its name.
    except (OSError, ValueError) as error:
        raise InvalidStream(f"{path} cannot be read: {str(error)[:200]}") from error


def _batch_numbers(frame: "pd.DataFrame", batch: str | int, name: str) -> Integers:
    """The position of each row's batch in time, (rows,); -1 for rows in none."""
    import pandas as pd

    if isinstance(batch, int):
        if batch < 1:
            raise InvalidStream(f"a batch has at least one row, not {batch}")
        numbers = np.arange(len(frame)) // batch
        return np.where(numbers < len(frame) // batch, numbers, -1)
    column = frame[batch]
    if column.isna().any():
        raise InvalidStream(f"{name} has {int(column.isna().sum())} rows without a value of the batch column {batch!r}")
    by_value = not (pd.api.types.is_object_dtype(column) or pd.api.types.is_string_dtype(column))
    numbers, _ = pd.factorize(column, sort=by_value)
    return numbers.astype(np.int64)


def _check_batches(batches: int, window: int, name: str) -> None:
    if window < 1:
        raise InvalidStream(f"a model is trained on at least one batch, not {window}")
    if batches < window + _AT_LEAST_SCORED:
        raise InvalidStream(
            f"{name} has {batches} batches; a window of {window} and {_AT_LEAST_SCORED} to be scored need "
            f"{window + _AT_LEAST_SCORED}",
            advice="Use smaller batches, or a smaller window",
        )


def _labels(column: "pd.Series[Any]", name: str) -> tuple[Integers, tuple[str, ...]]:
    try:
        return encode_labels(column)
    except ValueError as error:
        raise InvalidStream(f"{name}: the label column {column.name!r} {error}") from error
