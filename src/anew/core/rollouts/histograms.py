"""The buckets in which requests are counted, so that only counts are transferred and no rows.

A latency bucket is 5 % wide, so a percentile is known to 5 %. Scores in -1..1, such as classes and probabilities, have
buckets 0.01 wide, and those beyond have buckets of 5 %. Log Analytics counts by the same indexes
(adapters/azure/monitor/traffic_log), and only their bounds are computed here.
"""

import math
from typing import Final

GROWTH: Final = 1.05
"""The width of each logarithmic bucket, relative to the one below it."""

STEPS: Final = 100
"""Buckets of scores between 0 and 1."""

SLACK: Final = 1e-9
"""The part of a bucket by which rounding may put a value above a bound that it is on."""


def latency_index(milliseconds: float) -> int:
    """The bucket of a latency; 0 is up to one millisecond."""
    return _log_index(max(milliseconds, 1.0))


def latency_bound(index: int) -> float:
    """The upper bound of a latency bucket, in milliseconds."""
    return GROWTH**index


def score_index(score: float) -> int:
    """The bucket of a finite score, rising with it."""
    if abs(score) <= 1:
        return math.ceil(score * STEPS - SLACK)
    beyond = _log_index(abs(score))
    return STEPS + beyond if score > 0 else -STEPS - beyond


def score_bound(index: int) -> float:
    """The upper bound of a score bucket; below -1, the bound farther from zero."""
    if abs(index) <= STEPS:
        return index / STEPS
    return math.copysign(GROWTH ** (abs(index) - STEPS), index)


def _log_index(value: float) -> int:
    return math.ceil(math.log(value) / math.log(GROWTH) - SLACK)
