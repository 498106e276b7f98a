"""The buckets in which answers are counted, so that counts travel and rows do not.

A latency bucket is 5 % wide, so a percentile is known to 5 %. Scores have no scale of their own: those in -1..1, which
classes and probabilities are, have buckets 0.01 wide, and those beyond buckets of 5 %. Log Analytics counts by the
same indexes (adapters/azure/monitor/traffic_log), and only their bounds are made here.
"""

import math
from typing import Final

GROWTH: Final = 1.05
"""How much wider each logarithmic bucket is than the one below it."""

STEPS: Final = 100
"""Buckets of scores between 0 and 1."""

SLACK: Final = 1e-9
"""Of a bucket, by which a value may lie above a bound and still be on it: what rounding leaves."""


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
    """The bound of a score bucket that lies farther up; below -1, the one that lies farther from zero."""
    if abs(index) <= STEPS:
        return index / STEPS
    return math.copysign(GROWTH ** (abs(index) - STEPS), index)


def _log_index(value: float) -> int:
    return math.ceil(math.log(value) / math.log(GROWTH) - SLACK)
