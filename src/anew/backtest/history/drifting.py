"""Drift between the training window of a model and a later batch, computed on demand."""

from anew.backtest.history.stream import Stream
from anew.core.drift import Drift, Metric, ReferenceProfile, drift_table, profile_reference


class DriftMemory:
    """Drift of a stream's features. Results are kept, because each policy needs the same ones again at each cost."""

    def __init__(self, stream: Stream, window: int) -> None:
        self._stream = stream
        self._window = window
        self._profiles: dict[int, ReferenceProfile] = {}
        self._tables: dict[tuple[int, int, tuple[Metric, ...]], tuple[Drift, ...]] = {}

    def between(self, model: int, batch: int, metrics: tuple[Metric, ...]) -> tuple[Drift, ...]:
        """The drift of each feature of this batch against the window the model was trained on."""
        key = (model, batch, metrics)
        if key not in self._tables:
            rows = self._stream.columns(self._stream.span(batch, batch))
            self._tables[key] = drift_table(self._profile(model), rows, metrics=metrics)
        return self._tables[key]

    def _profile(self, model: int) -> ReferenceProfile:
        if model not in self._profiles:
            rows = self._stream.span(model - self._window + 1, model)
            self._profiles[model] = profile_reference(self._stream.columns(rows))
        return self._profiles[model]
