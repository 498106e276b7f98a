"""Local Azure on a free port, and the real Azure ML client pointed at it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.emulator.support import RunningAzure, make_ml_client, run_local_azure


@pytest.fixture
def local_azure(tmp_path: Path) -> Iterator[RunningAzure]:
    """A local Azure of the test's own, in an empty folder."""
    with run_local_azure(tmp_path / "azure") as azure:
        yield azure


@pytest.fixture
def ml_client(local_azure: RunningAzure) -> Any:
    """The real MLClient for the test's local Azure."""
    return make_ml_client(local_azure)
