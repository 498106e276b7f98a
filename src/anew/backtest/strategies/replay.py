"""A policy replayed over a history: its knowledge at each batch, and its retrainings."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from anew.backtest.benchmark import Benchmark
from anew.backtest.history.stream import Stream
from anew.core.drift import Drift, Metric
from anew.core.gain.gain import GainEvidence
from anew.core.gain.matrix import GainMatrix, evidence_at

TOOL_METRICS = (Metric.WASSERSTEIN, Metric.JENSEN_SHANNON)


@dataclass(frozen=True)
class Moment:
    """The knowledge of a policy after batch `batch` was served and scored: nothing of any later batch.

    `champion` is the last batch the serving model was trained on. Labels are known up to batch `labelled`.
    `retrained` are the batches after which it retrained so far.
    """

    benchmark: Benchmark
    batch: int
    champion: int
    labelled: int
    retrained: tuple[int, ...] = ()

    @property
    def stream(self) -> Stream:
        return self.benchmark.stream

    @property
    def window(self) -> int:
        """The number of batches a model is trained on."""
        return self.benchmark.window

    @property
    def age(self) -> int:
        """How many batches the champion has served."""
        return self.batch - self.champion

    @property
    def rows(self) -> int:
        """The number of rows of this batch."""
        return int(self.stream.rows[self.batch])

    @property
    def accuracies(self) -> tuple[float, ...]:
        """The champion's accuracy on each labelled batch it served, oldest first."""
        return tuple(self.benchmark.accuracy[self.champion, self.champion + 1 : self.labelled + 1].tolist())

    @cached_property
    def gains(self) -> GainEvidence:
        """The gain of a fresh model over the champion, by all surrogates."""
        return self._evidence(self.benchmark.gains)

    @cached_property
    def published_gains(self) -> GainEvidence:
        """The same by the two surrogates of the published gain-CUSUM."""
        return self._evidence(self.benchmark.published_gains)

    def _evidence(self, gains: GainMatrix) -> GainEvidence:
        accuracy = self.benchmark.accuracy
        models = (self.benchmark.first, *self.retrained)
        ends = (*self.retrained, self.labelled)
        records = {
            model: accuracy[model, model + 1 : min(end, self.labelled) + 1].tolist()
            for model, end in zip(models, ends, strict=True)
        }
        return evidence_at(gains, champion=self.champion, labelled=self.labelled, now=self.batch, records=records)

    def drift(self, metrics: Sequence[Metric] = TOOL_METRICS) -> tuple[Drift, ...]:
        """Drift of each feature of this batch against the champion's training window, computed on demand."""
        return self.benchmark.drift.between(self.champion, self.batch, tuple(metrics))


class Decider(Protocol):
    """A policy: whether to retrain at this moment."""

    def __call__(self, moment: Moment, /) -> bool: ...


@dataclass(frozen=True)
class Replay:
    """The replay of a policy: after which batches it retrained, and the accuracy on each scored batch."""

    retrained: tuple[int, ...]
    accuracies: tuple[float, ...]

    @property
    def accuracy(self) -> float:
        """Mean over batches."""
        return sum(self.accuracies) / len(self.accuracies)


def replay(benchmark: Benchmark, decider: Decider, *, labels_late: int = 0) -> Replay:
    """Let the decider decide after each scored batch but the last, after which no new model would be scored.

    `labels_late`: after how many batches the labels of a batch arrive. What is trained always has its own labels.
    """
    retrained: tuple[int, ...] = ()
    champion = benchmark.first
    for batch in range(benchmark.window, len(benchmark.stream) - 1):
        labelled = max(champion, batch - labels_late)
        if decider(Moment(benchmark, batch, champion, labelled, retrained)):
            champion, retrained = batch, (*retrained, batch)
    return Replay(retrained, _served(benchmark, retrained, len(benchmark.stream) - 1))


def _served(benchmark: Benchmark, retrained: tuple[int, ...], until: int) -> tuple[float, ...]:
    champions = (benchmark.first, *retrained)
    ends = (*retrained, until)
    return tuple(
        accuracy
        for champion, end in zip(champions, ends, strict=True)
        for accuracy in benchmark.accuracy[champion, champion + 1 : end + 1].tolist()
    )
