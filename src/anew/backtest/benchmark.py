"""The results that replays look up, computed once for a stream."""

from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version

from anew.backtest.history.drifting import DriftMemory
from anew.backtest.history.stream import DEFAULT_WINDOW, Stream
from anew.backtest.matrix import Matrix, measure
from anew.backtest.windows import Windows
from anew.backtest.work import Work, cached
from anew.core.gain.matrix import GainMatrix

_FORMAT = 2  # of what is cached: to be raised with every change of models, surrogates or matrices


@dataclass(frozen=True)
class Benchmark:
    """A stream with the accuracy of every model on every later batch, and the gains its surrogates measured.

    `gains` are by all surrogates, `published_gains` by the two of the published gain-CUSUM.
    """

    stream: Stream
    accuracy: Matrix
    gains: GainMatrix
    published_gains: GainMatrix
    window: int
    seed: int

    @property
    def first(self) -> int:
        """The last batch the first model was trained on; scoring begins with the next."""
        return self.window - 1

    @property
    def scored(self) -> int:
        """How many batches are scored."""
        return len(self.stream) - self.window

    @cached_property
    def drift(self) -> DriftMemory:
        """Drift between any model's training window and any batch."""
        return DriftMemory(self.stream, self.window)


def prepare(stream: Stream, *, window: int = DEFAULT_WINDOW, seed: int = 0, work: Work | None = None) -> Benchmark:
    """Train a model and its surrogates at the end of each batch from the first full window on, and score them.

    Seeds other than 0 train on other random nine tenths of each window.
    """
    windows, chosen = Windows(stream, window, seed), work or Work()
    known = cached(chosen.cache, _key(windows), lambda: measure(windows, chosen))
    gains, published = (
        GainMatrix(known[f"{name}_accuracy"], known[f"{name}_error"], stream.rows, windows.first)
        for name in ("every", "published")
    )
    return Benchmark(stream, known["accuracy"], gains, published, window, seed)


def _key(windows: Windows) -> dict[str, str | int]:
    """What the result depends on: the rows, the window, the seed, and the versions of what computes it."""
    return {
        "format": _FORMAT,
        "stream": windows.stream.digest,
        "window": windows.window,
        "seed": windows.seed,
        "scikit-learn": version("scikit-learn"),
    }
