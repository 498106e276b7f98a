"""Buckets of answers: every value in one, bounds that rise, and how wide they are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anew.core.rollouts.histograms import GROWTH, latency_bound, latency_index, score_bound, score_index


@given(st.integers(0, 10_000_000))
def test_latency_bound_is_tight(milliseconds: int) -> None:
    """A latency is not above its bound, and the bound is at most 5 % higher."""
    bound = latency_bound(latency_index(milliseconds))

    assert bound >= milliseconds * (1 - 1e-9)
    assert bound <= max(milliseconds, 1) * GROWTH * (1 + 1e-9)


@given(st.integers(0, 18))
def test_small_latencies_have_own_buckets(milliseconds: int) -> None:
    """Each millisecond up to 19 has a bucket of its own, except that 0 and 1 share one."""
    shared = latency_index(milliseconds) == latency_index(milliseconds + 1)

    assert shared == (milliseconds == 0)


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_score_buckets_are_monotonic(one: float, other: float) -> None:
    """The buckets of scores and their bounds rise with the scores."""
    low, high = sorted((one, other))

    assert score_index(low) <= score_index(high)
    assert score_bound(score_index(low)) <= score_bound(score_index(high))


@given(st.floats(-1, 1))
def test_score_bound_is_tight(score: float) -> None:
    """A score between -1 and 1 is at most a hundredth below its bound."""
    assert -1e-9 <= score_bound(score_index(score)) - score <= 0.01 + 1e-9


@pytest.mark.parametrize("score", [0.0, 1.0, -1.0, 0.07, 0.29, 0.5, 0.58])
def test_score_on_a_bound(score: float) -> None:
    """A score on a bound is counted in the bucket of that bound."""
    assert score_bound(score_index(score)) == score


def test_classes_have_distinct_buckets() -> None:
    """Classes given as small whole numbers have distinct buckets."""
    assert len({score_index(each) for each in range(-19, 20)}) == 39
