"""Seeded samples by name of distribution, and small ways to ask for one value."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anew.core.drift import Drift, DriftValue, Metric, NotMeasurable, drift_table, profile_reference

Generator = np.random.Generator
Draw = Callable[[Generator, int], NDArray[np.float64]]

DISTRIBUTIONS: Mapping[str, Draw] = {
    "normal": lambda rng, rows: rng.standard_normal(rows),
    "uniform": lambda rng, rows: rng.random(rows),
    "lognormal": lambda rng, rows: rng.lognormal(size=rows),
    "exponential": lambda rng, rows: rng.exponential(size=rows),
    "heavy": lambda rng, rows: rng.standard_t(3, rows),
    "poisson": lambda rng, rows: rng.poisson(2, rows).astype(np.float64),
    "mostly_zero": lambda rng, rows: np.where(rng.random(rows) < 0.6, 0.0, rng.exponential(size=rows)),
}


def drift_of(reference: NDArray[Any], window: NDArray[Any], metric: Metric) -> Drift:
    (drift,) = drift_table(profile_reference({"x": reference}), {"x": window}, metrics=[metric])
    return drift


def value_of(reference: NDArray[Any], window: NDArray[Any], metric: Metric) -> DriftValue:
    drift = drift_of(reference, window, metric)
    assert isinstance(drift, DriftValue), drift
    return drift


def reasons(drifts: tuple[Drift, ...]) -> list[str]:
    assert all(isinstance(drift, NotMeasurable) for drift in drifts), drifts
    return [drift.reason for drift in drifts if isinstance(drift, NotMeasurable)]
