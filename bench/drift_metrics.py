"""Drift of a million rows by fifty features against a stored profile, beside one read of the memory and other ways.

Everything is timed in the same run on the same table: the median of several repetitions, and the fastest, which a busy
machine disturbs least. What takes long is timed on one feature and multiplied, and says so.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from anew.core.drift import Metric, ReferenceProfile, azure_table, drift_table, profile_reference, to_json
from anew.core.drift.distances import jensen_shannon_distance, population_stability_index
from anew.core.drift.robust import feature_drift

_ROWS = 1_000_000
_FEATURES = 50
_RUNS = 9
_SLOW_RUNS = 3
_COUNTED = (Metric.PSI, Metric.JENSEN_SHANNON)
_ORDERED = (Metric.WASSERSTEIN, Metric.KOLMOGOROV_SMIRNOV)

Column = NDArray[np.float64]
Table = dict[str, Column]


def main() -> None:
    """Print each way's seconds and how often one read of the table fits in them."""
    reference, window = _table(seed=0), _table(seed=1)
    profile = profile_reference({name: column[: _ROWS // 10] for name, column in reference.items()})
    single = {name: column.astype(np.float32) for name, column in window.items()}
    rows_first = np.stack(list(window.values()), axis=1)
    print(
        f"{_ROWS:,} rows x {_FEATURES} features; a profile takes {len(to_json(profile)) / _FEATURES / 1000:.0f} kB each"
    )
    floor = _time("one read of the table (numpy sum)", lambda: [float(column.sum()) for column in window.values()])
    ways: dict[str, Callable[[], object]] = {
        "anew, PSI and Jensen-Shannon": lambda: drift_table(profile, window, metrics=_COUNTED),
        "anew, the same on one thread": lambda: _one_thread(profile, window),
        "anew, the same, float32": lambda: drift_table(profile, single, metrics=_COUNTED),
        "anew, the same, rows x features": lambda: drift_table(profile, rows_first, metrics=_COUNTED),
        "numpy searchsorted, the same": lambda: [
            _searchsorted(profile, name, column) for name, column in window.items()
        ],
    }
    for words, way in ways.items():
        _time(words, way, floor)
    _time_one_feature(reference["f0"], window["f0"], profile, floor)


def _time_one_feature(reference: Column, window: Column, profile: ReferenceProfile, floor: float) -> None:
    name, feature = profile.features[0]
    tables = {name: reference}, {name: window}
    ways: dict[str, Callable[[], object]] = {
        "numpy histogram of both, equal width": lambda: _equal_width(reference, window),
        "anew, azure mode, PSI and Jensen-Shannon": lambda: azure_table(*tables, metrics=_COUNTED),
        "anew, Wasserstein and Kolmogorov-Smirnov": lambda: feature_drift(name, feature, window, _ORDERED),
        "anew, azure mode, Wasserstein": lambda: azure_table(*tables, metrics=[Metric.WASSERSTEIN]),
        "scipy wasserstein_distance": lambda: _scipy_wasserstein(reference, window),
        "scipy ks_2samp": lambda: _scipy_kolmogorov(reference, window),
        "anew, making the profile": lambda: profile_reference({name: reference}),
    }
    for words, way in ways.items():
        _time(f"{words} (one feature, x {_FEATURES})", way, floor, runs=_SLOW_RUNS, factor=_FEATURES)


def _table(seed: int) -> Table:
    rng = np.random.default_rng(seed)
    return {f"f{number}": rng.standard_normal(_ROWS) for number in range(_FEATURES)}


def _time(
    words: str, way: Callable[[], object], floor: float | None = None, *, runs: int = _RUNS, factor: int = 1
) -> float:
    seconds: list[float] = []
    for _ in range(runs + 1):
        began = time.perf_counter()
        way()
        seconds.append((time.perf_counter() - began) * factor)
    median, fastest = statistics.median(seconds[1:]), min(seconds[1:])
    ratio = "" if floor is None else f"   {median / floor:6.1f} reads"
    print(f"{words:<62} {median:8.3f} s, fastest {fastest:8.3f} s{ratio}", flush=True)
    return median


def _one_thread(profile: ReferenceProfile, window: Table) -> None:
    for name, feature in profile.features:
        feature_drift(name, feature, window[name], _COUNTED)


def _searchsorted(profile: ReferenceProfile, name: str, column: Column) -> tuple[float, float]:
    feature = dict(profile.features)[name]
    edges = np.array(getattr(feature, "edges", ()))
    counts = np.bincount(np.searchsorted(edges, column, side="right"), minlength=len(edges) + 1)
    return _metrics(np.array(getattr(feature, "counts", ())), counts)


def _equal_width(reference: Column, window: Column) -> tuple[float, float]:
    bins = int(np.ceil(np.log2(min(len(reference), len(window))) + 1))
    ends = min(reference.min(), window.min()), max(reference.max(), window.max())
    first, second = (np.histogram(sample, bins=bins, range=ends)[0] for sample in (reference, window))
    return _metrics(first, second)


def _scipy_wasserstein(reference: Column, window: Column) -> object:
    return stats.wasserstein_distance(reference, window)


def _scipy_kolmogorov(reference: Column, window: Column) -> object:
    return stats.ks_2samp(reference, window, method="asymp")


def _metrics(reference: NDArray[np.int64], window: NDArray[np.int64]) -> tuple[float, float]:
    shares = [(counts + 0.5) / (counts.sum() + len(counts) / 2) for counts in (reference, window)]
    return population_stability_index(*shares), jensen_shannon_distance(*shares)
