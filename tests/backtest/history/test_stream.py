from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from anew.backtest import Stream, prepare, read_stream, replay, shuffled
from anew.backtest.strategies.baselines import azure_ml_default, evidently_default
from anew.errors import InvalidStream
from tests.backtest.made_streams import ROWS, stream_file


def written(folder: Path, name: str = "stream.csv", **columns: Any) -> Path:
    path = folder / name
    frame = pd.DataFrame(columns)
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path, index=False)
    return path


def read(path: Path, **changes: Any) -> Stream:
    return read_stream(path, **({"label": "y", "batch": "b", "window": 2} | changes))


SMALL: dict[str, Any] = {"b": np.repeat(np.arange(6), 4), "y": [0, 1] * 12, "x": np.arange(24.0)}


def test_rows_are_ordered_by_batch(tmp_path: Path) -> None:
    """Batches are ordered by value, and their rows keep the order of the file."""
    backwards = {name: values[::-1] for name, values in SMALL.items()}
    stream = read(written(tmp_path, **backwards))
    assert len(stream) == 6
    assert stream.rows.tolist() == [4] * 6
    assert stream.features[stream.span(0, 0), 0].tolist() == [3, 2, 1, 0]


def test_text_batches_keep_their_order(tmp_path: Path) -> None:
    """Batches named by text keep the order of their appearance."""
    names = np.repeat([f"week {number}" for number in (8, 9, 10, 11, 12)], 4)
    stream = read(written(tmp_path, b=names, y=[0, 1] * 10, x=np.arange(20.0)))
    assert stream.features[stream.span(2, 2), 0].tolist() == [8, 9, 10, 11]


def test_batch_size_drops_the_rest(tmp_path: Path) -> None:
    """A batch size cuts batches of that many rows and drops the rest."""
    stream = read(written(tmp_path, y=[0, 1] * 12, x=np.arange(24.0)), batch=5, window=1)
    assert stream.rows.tolist() == [5, 5, 5, 5]


def test_any_column_becomes_numeric(tmp_path: Path) -> None:
    """Columns of any type become numbers, except constant ones."""
    many = [f"city {number}" for number in range(24)]
    path = written(
        tmp_path, "stream.parquet", **SMALL, flag=[True, False] * 12, colour=["red", None, "blue"] * 8, city=many,
        when=pd.date_range("2026-01-01", periods=24, freq="h"), holes=[1.0, np.nan, np.inf, 2.0] * 6, constant=1,
    )  # fmt: skip
    stream = read(path)
    # x, flag, two colours, city, hour (all within one day, so the weekday is constant), holes; not the constant.
    assert stream.features.shape == (24, 7)
    assert np.isnan(stream.features[:, -1]).sum() == 12
    assert set(stream.table) == {"x", "flag", "colour", "city", "holes", "constant"}
    benchmark = prepare(stream, window=2)
    for tool in (azure_ml_default, evidently_default):
        assert len(replay(benchmark, tool).accuracies) == 4


def test_labels_may_be_text(tmp_path: Path) -> None:
    """Labels may be text of several classes."""
    stream = read(written(tmp_path, **(SMALL | {"y": ["low", "high", "middle"] * 8})))
    assert stream.classes == ("high", "low", "middle")
    assert stream.labels[:3].tolist() == [1, 0, 2]


def test_unlabelled_rows_are_counted(tmp_path: Path) -> None:
    """Rows without a label are left out and counted."""
    stream = read(written(tmp_path, **(SMALL | {"y": [None, 1, 0, 1] * 6})))
    assert (stream.unlabelled, stream.rows.tolist()) == (6, [3] * 6)


def test_window_of_one_class(tmp_path: Path) -> None:
    """A window with one class is not an error."""
    stream = read(written(tmp_path, **(SMALL | {"y": [0] * 12 + [1, 0] * 6})))
    assert prepare(stream, window=2).accuracy[1, 2] == 1.0


@pytest.mark.parametrize(
    ("columns", "changes", "told"),
    [
        (SMALL, {"label": "why"}, "no column 'why'; it has b, y, x"),
        (SMALL, {"batch": "week"}, "no column 'week'"),
        (SMALL, {"batch": "y"}, "cannot be both"),
        (SMALL, {"batch": 0}, "at least one row"),
        (SMALL, {"window": 4}, "6 batches; a window of 4 and 3 to be scored need 7"),
        (SMALL, {"window": 0}, "at least one batch"),
        (SMALL | {"y": 1}, {}, "single value"),
        (SMALL | {"y": np.linspace(0, 1, 24)}, {}, "only classification"),
        (SMALL | {"b": [None, *range(23)]}, {}, "1 rows without a value of the batch column 'b'"),
        (SMALL | {"x": 3}, {}, "no feature that varies"),
    ],
)
def test_unusable_stream_is_refused(
    tmp_path: Path, columns: dict[str, Any], changes: dict[str, Any], told: str
) -> None:
    """A stream that cannot be replayed is refused with the reason."""
    with pytest.raises(InvalidStream, match=told):
        read(written(tmp_path, **columns), **changes)


@pytest.mark.parametrize("name", ["stream.parquet", "stream.csv", "stream.xlsx"])
def test_wrong_file_format_is_refused(tmp_path: Path, name: str) -> None:
    """A file that is not what its name says is refused."""
    (tmp_path / name).write_bytes(b"\x00\xff\x00")
    with pytest.raises(InvalidStream, match="stream"):
        read(tmp_path / name)


def test_shuffling_keeps_rows_and_batches(tmp_path: Path) -> None:
    """Shuffling keeps the rows and the sizes of batches, and the same seed gives the same order."""
    stream = read_stream(stream_file(tmp_path, batches=9), label="label", batch="week", window=4)
    mixed = shuffled(stream, seed=1)
    assert mixed.rows.tolist() == [ROWS] * 9
    assert mixed.digest != stream.digest
    assert sorted(mixed.features[:, 0].tolist()) == sorted(stream.features[:, 0].tolist())
    assert shuffled(stream, seed=1).digest == mixed.digest
