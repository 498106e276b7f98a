from pathlib import Path

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


def _prepared(folder: Path, turn_at: int | None) -> Benchmark:
    stream = read_stream(stream_file(folder, turn_at=turn_at), label="label", batch="week", window=4)
    return prepare(stream, window=4, work=Work(cache=folder / "cache"))
