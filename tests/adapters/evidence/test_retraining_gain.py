"""Gains measured from a file of labelled batches: of the model that serves, and of nobody else."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from anew.adapters.evidence.retraining_gain import GainsOfRetraining
from anew.core.decisions.decide import compile_policy, decide
from anew.core.decisions.decision import Outcome
from anew.core.evidence.history import Attempt, AttemptState, History
from anew.core.evidence.signals import Evidence, Signal
from anew.core.policies.evidence import GainOfRetraining
from anew.errors import InvalidTable
from tests.builders import policy

WEEK = timedelta(weeks=1)
START = datetime(2026, 1, 5, tzinfo=UTC)
BATCHES, ROWS, TURN = 24, 80, 14
NOW = START + BATCHES * WEEK
NEVER_RETRAINED = History()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """24 weeks of rows; after the 14th the label means the opposite."""
    dice = np.random.default_rng(3)
    batch = np.repeat(np.arange(BATCHES), ROWS)
    x = dice.normal(size=len(batch))
    label = (x > 0) ^ (batch >= TURN)
    day = [START + int(each) * WEEK for each in batch]
    file = tmp_path / "rows.parquet"
    pd.DataFrame({"x": x, "noise": dice.normal(size=len(batch)), "week": day, "y": label.astype(int)}).to_parquet(file)
    return file


def gains(data: Path, /, history: History = NEVER_RETRAINED, now: datetime = NOW, **changes: Any) -> list[Signal]:
    document = {"kind": "gain", "data": str(data), "label": "y", "batch": "week", "window": 4} | changes
    return GainsOfRetraining(None).read(GainOfRetraining.model_validate(document), policy(), history, now)


def series(signals: list[Signal]) -> list[Signal]:
    return [signal for signal in signals if signal.metric == "gain"]


def trained(batch: int) -> History:
    return History((Attempt("r-1", START + batch * WEEK + timedelta(hours=1), AttemptState.REGISTERED),))


def test_gain_appears_after_the_turn(data: Path) -> None:
    """The gain is near zero before the data turns and large afterwards."""
    read = {signal.at: signal.value or 0.0 for signal in series(gains(data))}
    assert abs(read[START + (TURN - 2) * WEEK]) < 0.2
    assert read[START + (BATCHES - 1) * WEEK] > 0.5


def test_newly_trained_model_gains_little(data: Path) -> None:
    """A model trained after the turn has little to gain."""
    assert all(abs(signal.value or 0.0) < 0.3 for signal in series(gains(data, trained(BATCHES - 4))))


def test_first_batch_after_training_is_skipped(data: Path) -> None:
    """The readings are those of all batches after the training, without the first one."""
    read = series(gains(data, trained(18)))
    assert [signal.at for signal in read] == [START + batch * WEEK for batch in range(20, BATCHES)]
    assert all(signal.rows == ROWS and signal.error for signal in read)


def test_current_model_has_no_reading(data: Path) -> None:
    """A model that was trained on all batches has no reading yet."""
    assert series(gains(data, trained(BATCHES))) == []


def test_training_end_may_be_configured(data: Path) -> None:
    """The end of the first training may be configured."""
    told = gains(data, trained_until=(START + 18 * WEEK).date().isoformat())
    assert len(series(told)) == len(series(gains(data, trained(18))))


def test_policy_retrains_only_after_the_turn(data: Path) -> None:
    """A policy on the gain holds before the turn and retrains after it."""
    compiled = compile_policy(policy(when={"kind": "adaptive_gain_cusum"}, evidence={"max_age": "30d"}))
    before = START + (TURN - 1) * WEEK
    frame = pd.read_parquet(data)
    frame[frame["week"] <= before].to_parquet(data.with_name("before.parquet"))

    early = gains(data.with_name("before.parquet"), now=before)
    late = gains(data)

    assert decide(compiled, Evidence(tuple(early)), History(), before).outcome is Outcome.HOLD
    assert decide(compiled, Evidence(tuple(late)), History(), NOW).outcome is Outcome.RETRAIN


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"label": "z"}, "no column 'z'"),
        ({"time": "when"}, "no column 'when'"),
        ({"window": 30}, "has 24 batches"),
        ({"data": "absent.parquet"}, "cannot be read"),
    ],
)
def test_unusable_table_is_explained(data: Path, changes: dict[str, Any], said: str) -> None:
    """An unusable table or setting raises `InvalidTable` and names the fault."""
    with pytest.raises(InvalidTable, match=said):
        gains(data, **changes)


def test_rows_of_the_future_are_refused(data: Path) -> None:
    """Rows with a time in the future are refused."""
    with pytest.raises(InvalidTable, match="rows of the future"):
        gains(data, now=START)
