"""Contenders on a stream, for several costs and seeds, scored against the oracle."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from anew.backtest.benchmark import Benchmark, prepare
from anew.backtest.history.stream import DEFAULT_WINDOW, Stream
from anew.backtest.oracle import best_retrainings, lowest_cost
from anew.backtest.score import Score, mean_over_seeds, score, total_cost
from anew.backtest.strategies.baselines import PERIODS, Contender, default_contenders, fixed_period, never
from anew.backtest.strategies.replay import Replay, replay
from anew.backtest.work import Work

COSTS: Final = (0.02, 0.05, 0.1, 0.2)
ORACLE: Final = "oracle"
HINDSIGHT: Final = "best-fixed-in-hindsight"
_ORACLE_UP_TO: Final = 64


@dataclass(frozen=True)
class Report:
    """The scores of each policy at each cost (means over seeds), the oracle's and the best fixed period's among them.

    oracle_accuracies[k]: the accuracy k retrainings could have reached, for the first seed. replays: what each policy
    did at each cost, for the first seed.
    """

    stream: str
    batches: int
    rows: int
    unlabelled: int
    window: int
    seeds: tuple[int, ...]
    scores: tuple[Score, ...]
    oracle_accuracies: tuple[float, ...]
    replays: dict[tuple[str, float], Replay]

    def of(self, policy: str) -> tuple[Score, ...]:
        """One policy's scores, one for each cost."""
        return tuple(each for each in self.scores if each.policy == policy)

    @property
    def policies(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(each.policy for each in self.scores))

    def excess(self, policy: str) -> float:
        """The sum of a policy's excess costs over all costs of retraining."""
        return sum(each.excess_cost for each in self.of(policy))

    def oracle_needs(self, accuracy: float) -> int | None:
        """The fewest retrainings that reach this accuracy with perfect foresight; None if 64 do not."""
        enough = (count for count, reached in enumerate(self.oracle_accuracies) if reached >= accuracy)
        return next(enough, None)

    def as_json(self) -> dict[str, Any]:
        return {
            "stream": self.stream,
            "batches": self.batches,
            "rows": self.rows,
            "unlabelled_rows": self.unlabelled,
            "window": self.window,
            "seeds": list(self.seeds),
            "scores": [each.as_json() for each in self.scores],
            "oracle_accuracies": list(self.oracle_accuracies),
        }


def run_backtest(
    stream: Stream,
    contenders: Sequence[Contender] | None = None,
    *,
    costs: Sequence[float] = COSTS,
    seeds: Sequence[int] = (0,),
    window: int = DEFAULT_WINDOW,
    labels_late: int = 0,
    work: Work | None = None,
) -> Report:
    """Replay each contender (default: every baseline and rule) on the stream. Costs are in accuracy x batches."""
    chosen = tuple(default_contenders() if contenders is None else contenders)
    done = work or Work()
    prepared = [prepare(stream, window=window, seed=seed, work=done) for seed in seeds]
    played = [_replays(benchmark, chosen, costs, labels_late, done) for benchmark in prepared]
    by_seed = [_scores(benchmark, replays, costs) for benchmark, replays in zip(prepared, played, strict=True)]
    most = min(_ORACLE_UP_TO, prepared[0].scored - 1)
    return Report(
        stream.name,
        len(stream),
        len(stream.labels),
        stream.unlabelled,
        window,
        tuple(seeds),
        tuple(mean_over_seeds(list(same)) for same in zip(*by_seed, strict=True)),
        tuple(best_retrainings(prepared[0].accuracy, prepared[0].first, most).tolist()),
        played[0],
    )


def _replays(
    benchmark: Benchmark, contenders: Sequence[Contender], costs: Sequence[float], labels_late: int, work: Work
) -> dict[tuple[str, float], Replay]:
    replays: dict[tuple[str, float], Replay] = {}
    for done, contender in enumerate(contenders):
        work.progress("replays", done, len(contenders))
        played: Replay | None = None
        for cost in costs:
            if played is None or contender.weighs_cost:
                played = replay(benchmark, contender.decider_for(cost), labels_late=labels_late)
            replays[contender.name, cost] = played
    work.progress("replays", len(contenders), len(contenders))
    return replays


def _scores(benchmark: Benchmark, replays: dict[tuple[str, float], Replay], costs: Sequence[float]) -> list[Score]:
    """The oracle's, the best fixed period's, and each contender's."""
    lowest = {cost: lowest_cost(benchmark.accuracy, benchmark.first, cost) for cost in costs}
    fixed = _fixed_periods(benchmark)
    scores: list[Score] = []
    for cost in costs:
        least, retrained = lowest[cost]
        scores.append(score(benchmark, ORACLE, _forced(benchmark, retrained), cost, least))
    for cost in costs:
        best = min(fixed, key=lambda played, cost=cost: total_cost(played, cost))
        scores.append(score(benchmark, HINDSIGHT, best, cost, lowest[cost][0]))
    return scores + [score(benchmark, name, played, cost, lowest[cost][0]) for (name, cost), played in replays.items()]


def _fixed_periods(benchmark: Benchmark) -> list[Replay]:
    periods = [never(), *(fixed_period(batches) for batches in PERIODS)]
    return [replay(benchmark, period.decider_for(0)) for period in periods]


def _forced(benchmark: Benchmark, retrained: tuple[int, ...]) -> Replay:
    chosen = frozenset(retrained)
    return replay(benchmark, lambda moment: moment.batch in chosen)
