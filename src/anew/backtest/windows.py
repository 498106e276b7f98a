"""Trains the model and its surrogates on every window of batches, and scores them on all later rows."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from multiprocessing import get_context
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from anew.backtest.history.stream import Stream
from anew.backtest.models import SURROGATES, fit_model, fit_surrogates
from anew.backtest.work import Work

Hits = npt.NDArray[np.uint8]

PUBLISHED: Final = ("tree", "logistic")
"""The surrogates of the published gain-CUSUM. All of `SURROGATES` are less noisy, and cost about four times as much."""


@dataclass(frozen=True)
class Windows:
    """The training windows of a stream, each of `window` batches."""

    stream: Stream
    window: int
    seed: int

    @property
    def first(self) -> int:
        """The last batch of the first full window."""
        return self.window - 1

    @property
    def models(self) -> range:
        """The batches after which a model is trained that still has a batch to be scored on."""
        return range(self.first, len(self.stream) - 1)


def score_windows(windows: Windows, work: Work) -> Iterator[tuple[int, Hits]]:
    """For each model, the last batch it was trained on, and how many were right about each row after it: (3, rows).

    The three are the model, all surrogates and the published ones, trained on the same rows. The newest come first.
    """
    work.progress("training", 0, len(windows.models))
    for done, answer in enumerate(_answers(windows, work.processes), start=1):
        yield answer
        work.progress("training", done, len(windows.models))


def _answers(windows: Windows, processes: int) -> Iterator[tuple[int, Hits]]:
    if processes <= 1:
        with _one_thread():
            yield from map(partial(_score, windows), reversed(windows.models))
        return
    # Spawned, because a fork of a process whose OpenMP threads have run may hang.
    with ProcessPoolExecutor(
        processes, mp_context=get_context("spawn"), initializer=_remember, initargs=(windows,)
    ) as pool:
        yield from pool.map(_score_remembered, reversed(windows.models), chunksize=4)


def _score(windows: Windows, model: int) -> tuple[int, Hits]:
    stream = windows.stream
    seen = stream.span(model - windows.window + 1, model)
    later = stream.span(model + 1, len(stream) - 1)
    known = stream.features[seen], stream.labels[seen], windows.seed
    trained = (fit_model(*known), *fit_surrogates(*known))
    right = np.stack([each.predict(stream.features[later]) == stream.labels[later] for each in trained])
    surrogates = right[1:].astype(np.uint8)
    published = surrogates[[SURROGATES.index(name) for name in PUBLISHED]]
    return model, np.stack([right[0], surrogates.sum(axis=0), published.sum(axis=0)]).astype(np.uint8)


def _one_thread() -> Any:
    """On windows of a few thousand rows, threads cost more than they bring: each process uses one from here on, or
    within the context this is used as.
    """
    # Only libraries that are already loaded can be limited.
    import_module("sklearn.ensemble")
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1)


_remembered: dict[str, Any] = {}


def _remember(windows: Windows) -> None:
    _one_thread()
    _remembered["windows"] = windows


def _score_remembered(model: int) -> tuple[int, Hits]:
    return _score(_remembered["windows"], model)
