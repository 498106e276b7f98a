"""What a newly trained model would gain, measured on a file of labelled batches by small surrogate models."""

from bisect import bisect_right
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from anew.core.evidence.history import History
from anew.core.evidence.signals import Signal
from anew.core.gain.gain import evidence_at
from anew.core.gain.signals import signals_of_gain
from anew.core.policies.evidence import EvidenceSpec, GainOfRetraining
from anew.core.policies.policy import Policy
from anew.errors import InvalidStream, InvalidTable

if TYPE_CHECKING:
    from anew.backtest import Stream

SOURCE = "gain"
_NEWEST = 42  # batches: ageing looks at the newest 16, and at models up to 26 batches older


class GainsOfRetraining:
    """Implements EvidenceReader for `gain`. What was trained is kept in the folder until a batch is added.

    The champion is taken to have seen every batch that had ended when its training began.
    """

    def __init__(self, cache: Path | None) -> None:
        self._cache = cache

    def read(self, source: EvidenceSpec, policy: Policy, history: History, now: datetime) -> list[Signal]:
        from anew.backtest import Work, prepare

        assert isinstance(source, GainOfRetraining)
        try:
            stream, ends = _read(source, now)
        except InvalidStream as error:
            raise InvalidTable(str(error)) from error
        champion = _champion(source, history, ends)
        first = max(0, min(champion, len(stream) - _NEWEST) - source.window + 1)
        prepared = prepare(_since(stream, first), window=source.window, work=Work(self._cache))
        newest = len(stream) - 1
        gains = evidence_at(prepared.gains, champion=champion - first, labelled=newest - first)
        return signals_of_gain(gains, ends[champion + 2 : newest + 1], now, SOURCE)


def _read(source: GainOfRetraining, now: datetime) -> "tuple[Stream, list[datetime]]":
    """The stream, and when each of its batches ended."""
    from anew.backtest import read_stream

    time = source.time or source.batch
    stream = read_stream(
        Path(source.data), label=source.label, batch=source.batch, window=source.window, ignore=(time,)
    )
    frame = pd.read_parquet(source.data) if source.data.endswith(".parquet") else pd.read_csv(source.data)
    if time not in frame.columns:
        raise InvalidTable(f"{source.data} has no column {time!r}")
    times = pd.to_datetime(frame[time], utc=True, errors="coerce")
    labelled = frame[source.label].notna()
    ends = times[labelled].groupby(frame[source.batch][labelled], sort=False).max().sort_values()
    if ends.isna().any() or len(ends) != len(stream):
        raise InvalidTable(f"{source.data}: the column {time!r} does not give each batch a time")
    moments = [end.to_pydatetime().astimezone(UTC) for end in ends]
    if moments[-1] > now:
        raise InvalidTable(f"{source.data} has rows of the future: {moments[-1].isoformat()}")
    return stream, moments


def _champion(source: GainOfRetraining, history: History, ends: list[datetime]) -> int:
    """The newest batch the serving model was trained on."""
    seen = history.model_since
    if seen is None and source.trained_until is not None:
        seen = source.trained_until.replace(tzinfo=UTC)
    oldest = source.window - 1
    return oldest if seen is None else max(oldest, bisect_right(ends, seen) - 1)


def _since(stream: "Stream", first: int) -> "Stream":
    """The stream without its batches before this one."""
    from dataclasses import replace

    rows = slice(int(stream.starts[first]), None)
    kept: dict[str, Any] = {name: values[rows] for name, values in stream.table.items()}
    return replace(
        stream,
        features=stream.features[rows],
        labels=stream.labels[rows],
        starts=stream.starts[first:] - stream.starts[first],
        table=kept,
    )
