from pathlib import Path
from typing import Any

import pytest

from anew.backtest import Benchmark, Work, prepare, read_stream
from tests.backtest.made_streams import stream_file


@pytest.fixture(scope="session")
def turned(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    """A stream whose labels turn round at batch 10."""
    return _prepared(tmp_path_factory.mktemp("turned"), turn_at=10)


@pytest.fixture(scope="session")
def still(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    """A stream in which nothing drifts."""
    return _prepared(tmp_path_factory.mktemp("still"), turn_at=None)


@pytest.fixture(scope="session")
def shifted(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    """A short stream whose second feature shifts at batch 7, and the labels do not care."""
    return _prepared(tmp_path_factory.mktemp("shifted"), batches=10, shift_at=7)


def _prepared(folder: Path, **made: Any) -> Benchmark:
    stream = read_stream(stream_file(folder, **made), label="label", batch="week", window=4)
    return prepare(stream, window=4, work=Work(cache=folder / "cache"))
