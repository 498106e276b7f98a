"""Baselines to compare with: never, fixed periods, every batch, the defaults of monitoring tools, and anew's rules."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from anew.backtest.strategies.replay import Decider, Moment
from anew.core.drift import DriftValue, Metric
from anew.core.gain.gain import AdaptiveGain, adaptive_gain_cusum, gain_cusum

PERIODS: Final = (1, 2, 3, 4, 6, 8, 10, 13, 17, 20, 26, 34, 40, 52, 70, 100)
"""Batches between retrainings, among which the best fixed period is chosen with hindsight."""

_AZURE_NUMERIC: Final = 0.1
_EVIDENTLY_SHARE: Final = 0.5
_DRIFTED: Final = 0.1


@dataclass(frozen=True)
class Contender:
    """A policy that competes: its decider for a given cost of retraining (accuracy x batches).

    `weighs_cost` is False where the cost makes no difference, so that one replay serves for all costs.
    """

    name: str
    decider_for: Callable[[float], Decider]
    weighs_cost: bool = True


def default_contenders() -> tuple[Contender, ...]:
    """Every baseline, and the cost-aware rules."""
    return (
        never(),
        *(fixed_period(batches) for batches in (1, 4, 8, 13)),
        Contender("azure-ml-default", lambda _: azure_ml_default, weighs_cost=False),
        Contender("evidently-default", lambda _: evidently_default, weighs_cost=False),
        Contender("gain-cusum", published_gain_cusum),
        Contender("adaptive-gain-cusum", adaptive),
    )


def never() -> Contender:
    """Keep the first model."""
    return Contender("never", lambda _: lambda _: False, weighs_cost=False)


def fixed_period(batches: int) -> Contender:
    """Retrain every so many batches."""
    name = "every-batch" if batches == 1 else f"every-{batches}-batches"
    return Contender(name, lambda _: lambda moment: moment.age >= batches, weighs_cost=False)


def azure_ml_default(moment: Moment) -> bool:
    """Azure ML's default monitor: any numeric feature whose normalised Wasserstein distance exceeds 0.1, or any other
    whose Jensen-Shannon distance does. The reference is the champion's training window.
    """
    return any(value > _AZURE_NUMERIC for value in _distances(moment).values())


def evidently_default(moment: Moment) -> bool:
    """Evidently's default: at least half of the features drifted, by the same distances, each at 0.1."""
    distances = _distances(moment)
    drifted = sum(value >= _DRIFTED for value in distances.values())
    return bool(distances) and drifted >= _EVIDENTLY_SHARE * len(distances)


def published_gain_cusum(cost: float) -> Decider:
    """Gain-CUSUM as published: two surrogates, half the cost, allowance 0.25."""
    return lambda moment: gain_cusum(moment.published_gains, cost=cost).retrain


def adaptive(cost: float, settings: AdaptiveGain | None = None) -> Decider:
    """Gain-CUSUM that adapts its demand for evidence, on all surrogates."""
    return lambda moment: adaptive_gain_cusum(moment.gains, cost=cost, settings=settings).retrain


def _distances(moment: Moment) -> dict[str, float]:
    """Wasserstein of each numeric feature, Jensen-Shannon of each other."""
    distances: dict[str, float] = {}
    # In this order, so that the Wasserstein distance of a numeric feature replaces the other.
    for metric in (Metric.JENSEN_SHANNON, Metric.WASSERSTEIN):
        for drift in moment.drift():
            if isinstance(drift, DriftValue) and drift.metric is metric:
                distances[drift.feature] = drift.value
    return distances
