"""Azure ML's formulas once more, written down row by row from its public source, with pyspark's histogram and scipy."""

import bisect
import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from scipy import stats
from scipy.spatial import distance


def edges_of(baseline: Sequence[float], production: Sequence[float]) -> list[float]:
    bins = math.ceil(math.log2(min(len(baseline), len(production))) + 1)
    low, high = min(*baseline, *production), max(*baseline, *production)
    width = (high - low) / bins
    return [low, *(low + number * width for number in range(1, bins + 1))]


def histogram(values: Sequence[float], buckets: list[float]) -> list[int]:
    low, high = buckets[0], buckets[-1]
    steps = [after - before for before, after in pairwise(buckets)]
    even, step = max(steps) - min(steps) < 1e-10, (high - low) / (len(buckets) - 1)
    counters = [0] * len(buckets)
    for value in values:
        if low <= value <= high:
            counters[int((value - low) / step) if even else bisect.bisect_right(buckets, value) - 1] += 1
    last = counters.pop()
    counters[-1] += last
    return counters


def psi(baseline: Sequence[float], production: Sequence[float]) -> float:
    edges = edges_of(baseline, production)
    total = 0.0
    for before, after in zip(histogram(baseline, edges), histogram(production, edges), strict=True):
        expected = (before + 1) / (len(baseline) + len(edges) - 1)
        actual = (after + 1) / (len(production) + len(edges) - 1)
        total += (actual - expected) * math.log(actual / expected)
    return total


def jensen_shannon(baseline: Sequence[float], production: Sequence[float]) -> float:
    edges = edges_of(baseline, production)
    first = [count / len(baseline) for count in histogram(baseline, edges)]
    second = [count / len(production) for count in histogram(production, edges)]
    return float(distance.jensenshannon(first, second, base=2))


def wasserstein(baseline: Sequence[float], production: Sequence[float]) -> float:
    mean = math.fsum(baseline) / len(baseline)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in baseline) / (len(baseline) - 1))
    return float(stats.wasserstein_distance(baseline, production)) / max(deviation, 0.001)


def kolmogorov_smirnov(baseline: Sequence[float], production: Sequence[float]) -> float:
    return float(stats.ks_2samp(baseline, production).pvalue)


def _aligned(baseline: Sequence[object], production: Sequence[object]) -> tuple[list[int], list[int]]:
    first, second = (Counter(map(str, values)) for values in (baseline, production))
    names = list(first | second)
    return [first[name] for name in names], [second[name] for name in names]


def categorical_psi(baseline: Sequence[object], production: Sequence[object]) -> float:
    first, second = _aligned(baseline, production)
    expected = [(count + 1) / (len(baseline) + len(first)) for count in first]
    actual = [(count + 1) / (len(production) + len(second)) for count in second]
    return sum((after - before) * math.log(after / before) for before, after in zip(expected, actual, strict=True))


def categorical_jensen_shannon(baseline: Sequence[object], production: Sequence[object]) -> float:
    return float(distance.jensenshannon(*_aligned(baseline, production), base=2))


def chi_squared(baseline: Sequence[object], production: Sequence[object]) -> float:
    first, second = _aligned(baseline, production)
    expected = [count / len(baseline) * len(production) for count in first]
    return float(stats.chisquare(second, expected).pvalue)
