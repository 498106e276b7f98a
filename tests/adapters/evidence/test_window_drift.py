"""Drift measured from files: the rows a policy names, with the noise of so many rows."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from anew.adapters.evidence.window_drift import DriftOfWindows, write_profile
from anew.core.evidence.history import History
from anew.core.evidence.signals import Signal
from anew.core.policies.evidence import DriftOfWindow
from anew.errors import InvalidTable
from tests.builders import policy

NOW = datetime(2026, 7, 14, 12, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """5,000 reference rows, and 2,000 of a window whose second half moved by one standard deviation in `moved`."""
    dice = np.random.default_rng(7)
    pd.DataFrame({"moved": dice.normal(size=5000), "still": dice.normal(size=5000)}).to_parquet(
        tmp_path / "ref.parquet"
    )
    moved = np.concatenate((dice.normal(size=1000), dice.normal(1.0, size=1000)))
    window = pd.DataFrame({"moved": moved, "still": dice.normal(size=2000), "label": 1})
    window.to_csv(tmp_path / "now.csv", index=False)
    return tmp_path


def read(folder: Path, **changes: Any) -> dict[str, Signal]:
    document = {"kind": "drift", "reference": str(folder / "ref.parquet"), "window": str(folder / "now.csv")}
    source = DriftOfWindow.model_validate(document | changes)
    return {signal.feature or "": signal for signal in DriftOfWindows().read(source, policy(), History(), NOW)}


def test_only_moved_feature_exceeds_noise(folder: Path) -> None:
    """A feature that moved is above its noise floor, and one that did not is below."""
    signals = read(folder, window_rows=1000)
    moved, still = signals["moved"], signals["still"]
    assert moved.value is not None
    assert moved.noise_floor is not None
    assert moved.value > 0.5 > moved.noise_floor
    assert still.value is not None
    assert still.noise_floor is not None
    assert still.value < still.noise_floor
    assert (moved.rows, moved.source, moved.at) == (1000, "drift", NOW)


def test_unshared_columns_are_ignored(folder: Path) -> None:
    """Columns that only one of the files has are ignored."""
    assert set(read(folder)) == {"moved", "still"}


def test_window_takes_the_last_rows(folder: Path) -> None:
    """The window takes the last rows of the file."""
    newest, all_of_them = read(folder, window_rows=1000)["moved"].value, read(folder)["moved"].value
    assert newest is not None
    assert all_of_them is not None
    assert newest > all_of_them


def test_stored_profile_equals_its_rows(folder: Path) -> None:
    """A stored profile gives the same signals as the rows it was made from."""
    write_profile(str(folder / "ref.parquet"), folder / "ref.json")
    assert read(folder, reference=str(folder / "ref.json")) == read(folder)


def test_changed_reference_is_reread(folder: Path) -> None:
    """A reference file that changed is read again."""
    before = read(folder)["still"].value
    pd.DataFrame({"moved": np.zeros(50), "still": np.linspace(5, 9, 50)}).to_parquet(folder / "ref.parquet")
    os.utime(folder / "ref.parquet", (1, 1))
    assert read(folder)["still"].value != before


def test_azure_mode_uses_azure_names(folder: Path) -> None:
    """Azure mode computes the metrics from rows and names them as Azure does."""
    signals = read(folder, mode="azure", metrics=["jensen_shannon_distance"], features=["moved"])
    assert [signal.metric for signal in signals.values()] == ["JensenShannonDistance"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"window": "absent.csv"}, "absent.csv cannot be read"),
        ({"reference": "absent.json"}, "absent.json cannot be read"),
        ({"features": ["height"]}, "has no column height"),
        ({"features": ["height"], "mode": "azure"}, "do not both have the column height"),
    ],
)
def test_unreadable_input_is_named(folder: Path, changes: dict[str, Any], said: str) -> None:
    """A file or column that cannot be read raises `InvalidTable` and is named."""
    with pytest.raises(InvalidTable, match=said):
        read(folder, **changes)


def test_empty_window_gives_valueless_signal(folder: Path) -> None:
    """A feature without any value in the window gives a signal without a value."""
    pd.DataFrame({"moved": [np.nan] * 10, "still": range(10)}).to_csv(folder / "now.csv", index=False)
    signals = read(folder)
    assert signals["moved"].value is None
    assert signals["still"].value is not None
