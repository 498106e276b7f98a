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


def test_feature_that_moved_is_above_its_noise_and_the_other_within(folder: Path) -> None:
    signals = read(folder, window_rows=1000)
    moved, still = signals["moved"], signals["still"]
    assert moved.value is not None
    assert moved.noise_floor is not None
    assert moved.value > 0.5 > moved.noise_floor
    assert still.value is not None
    assert still.noise_floor is not None
    assert still.value < still.noise_floor
    assert (moved.rows, moved.source, moved.at) == (1000, "drift", NOW)


def test_columns_that_only_one_file_has_are_left_out(folder: Path) -> None:
    assert set(read(folder)) == {"moved", "still"}


def test_newest_rows_are_the_last_of_the_file(folder: Path) -> None:
    newest, all_of_them = read(folder, window_rows=1000)["moved"].value, read(folder)["moved"].value
    assert newest is not None
    assert all_of_them is not None
    assert newest > all_of_them


def test_stored_profile_gives_what_its_rows_give(folder: Path) -> None:
    write_profile(str(folder / "ref.parquet"), folder / "ref.json")
    assert read(folder, reference=str(folder / "ref.json")) == read(folder)


def test_reference_that_changed_is_read_again(folder: Path) -> None:
    before = read(folder)["still"].value
    pd.DataFrame({"moved": np.zeros(50), "still": np.linspace(5, 9, 50)}).to_parquet(folder / "ref.parquet")
    os.utime(folder / "ref.parquet", (1, 1))
    assert read(folder)["still"].value != before


def test_azure_mode_gives_azures_names_and_needs_the_rows(folder: Path) -> None:
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
def test_what_cannot_be_read_is_named(folder: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidTable, match=said):
        read(folder, **changes)


def test_window_without_a_value_is_a_signal_without_a_value(folder: Path) -> None:
    pd.DataFrame({"moved": [np.nan] * 10, "still": range(10)}).to_csv(folder / "now.csv", index=False)
    signals = read(folder)
    assert signals["moved"].value is None
    assert signals["still"].value is not None
