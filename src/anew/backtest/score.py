"""The score of a replay: accuracy, retrainings, how many of them were needless, cost, and cost beyond the oracle's."""

from dataclasses import dataclass

import numpy as np

from anew.backtest.benchmark import Benchmark
from anew.backtest.matrix import Matrix
from anew.backtest.strategies.replay import Replay


@dataclass(frozen=True)
class Score:
    """One policy on one stream at one cost of retraining.

    accuracy: mean over batches, 0 to 1. retrains, needless: counts, or their means over seeds. total_cost: summed
    error per batch + cost x retrains, in accuracy x batches. excess_cost: that minus the oracle's at this cost.
    """

    policy: str
    cost: float
    accuracy: float
    retrains: float
    needless: float
    total_cost: float
    excess_cost: float

    def as_json(self) -> dict[str, float | str]:
        return {
            "policy": self.policy,
            "lambda": self.cost,
            "accuracy": self.accuracy,
            "retrains": self.retrains,
            "needless": self.needless,
            "cost": self.total_cost,
            "excess_cost": self.excess_cost,
        }


def score(benchmark: Benchmark, policy: str, played: Replay, cost: float, lowest: float) -> Score:
    """Score a replay; `lowest` is the oracle's cost."""
    total = total_cost(played, cost)
    needless = needless_retrainings(benchmark.accuracy, benchmark.first, played.retrained)
    # Sums in another order differ in the last digits, but no cost is below the oracle's.
    return Score(policy, cost, played.accuracy, len(played.retrained), needless, total, max(0.0, total - lowest))


def total_cost(played: Replay, cost: float) -> float:
    """Summed error per batch + cost x retrainings, in accuracy x batches."""
    return sum(1 - accuracy for accuracy in played.accuracies) + cost * len(played.retrained)


def needless_retrainings(accuracy: Matrix, first: int, retrained: tuple[int, ...]) -> int:
    """How many retrainings brought no gain: the new model was no better than the one it replaced, until the next."""
    ends = (*retrained[1:], len(accuracy) - 1)
    replaced = (first, *retrained[:-1])
    return sum(
        bool(accuracy[new, new + 1 : end + 1].sum() <= accuracy[old, new + 1 : end + 1].sum())
        for old, new, end in zip(replaced, retrained, ends, strict=False)
    )


def mean_over_seeds(scores: list[Score]) -> Score:
    """The mean of one policy's scores at one cost, one for each seed."""
    first = scores[0]
    figures = np.mean(
        [(s.accuracy, s.retrains, s.needless, s.total_cost, s.excess_cost) for s in scores], axis=0
    ).tolist()
    return Score(first.policy, first.cost, *figures)
