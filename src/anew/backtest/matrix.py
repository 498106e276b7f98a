"""Correct predictions of single rows, summed up to batches: accuracies of models, and scores of their surrogates."""

from typing import Final

import numpy as np
import numpy.typing as npt

from anew.backtest.models import SURROGATES
from anew.backtest.windows import PUBLISHED, Windows, score_windows
from anew.backtest.work import Arrays, Work

Matrix = npt.NDArray[np.float64]

_LEAST_VARIANCE: Final = 0.01


def measure(windows: Windows, work: Work) -> Arrays:
    """Train everything and score it: five matrices, (batches, batches), NaN where nothing could be scored.

    accuracy[m, t]: of the model trained at the end of batch m, on batch t; with it, replaying a policy is looking
    numbers up. every_accuracy, every_error: those of a `GainMatrix`, by all surrogates; published_accuracy and
    published_error by the published ones.
    """
    groups = {"every": _Surrogates(windows, len(SURROGATES)), "published": _Surrogates(windows, len(PUBLISHED))}
    accuracy = _unknown(windows)
    for model, (own, every, published) in score_windows(windows, work):
        accuracy[model, model + 1 :] = _means(windows, model, own.astype(np.float64))
        groups["every"].add(model, every)
        groups["published"].add(model, published)
    arrays = {"accuracy": accuracy}
    for name, group in groups.items():
        arrays |= {f"{name}_accuracy": group.accuracy, f"{name}_error": group.error}
    return arrays


class _Surrogates:
    """Sums up the scores of a group of surrogates.

    The errors are of paired differences, from what fresh and older ones got right on the same rows. Because the
    newest come first, only what the fresh ones got right has to be remembered.
    """

    def __init__(self, windows: Windows, members: int) -> None:
        self.accuracy, self.error = _unknown(windows), _unknown(windows)
        self._windows = windows
        self._members = members
        self._fresh = np.zeros(len(windows.stream.labels))

    def add(self, model: int, right: npt.NDArray[np.uint8]) -> None:
        """How many members, trained at the end of batch `model`, were right about each later row."""
        windows, stream = self._windows, self._windows.stream
        share = right / self._members
        self._fresh[stream.span(model + 1, model + 1)] = share[: stream.rows[model + 1]]
        difference = self._fresh[stream.starts[model + 1] :] - share
        variance = _means(windows, model, difference**2) - _means(windows, model, difference) ** 2
        # Two models that never differ on a few rows may still not be equal: the variance is not taken below 0.01.
        rows = stream.rows[model + 1 :]
        self.accuracy[model, model + 1 :] = _means(windows, model, share)
        self.error[model, model + 1 :] = np.sqrt(np.maximum(variance, _LEAST_VARIANCE) / rows)


def _means(windows: Windows, model: int, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The mean over each later batch of values of each row after batch `model`."""
    stream = windows.stream
    starts = stream.starts[model + 1 : -1] - stream.starts[model + 1]
    return np.add.reduceat(values, starts) / stream.rows[model + 1 :]


def _unknown(windows: Windows) -> Matrix:
    return np.full((len(windows.stream), len(windows.stream)), np.nan)
