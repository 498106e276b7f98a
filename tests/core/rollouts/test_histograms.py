"""Buckets of answers: every value in one, bounds that rise, and how wide they are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anew.core.rollouts.histograms import GROWTH, latency_bound, latency_index, score_bound, score_index


@given(st.integers(0, 10_000_000))
def test_latency_lies_below_its_bound_by_five_percent_at_most(milliseconds: int) -> None:
    bound = latency_bound(latency_index(milliseconds))

    assert bound >= milliseconds * (1 - 1e-9)
    assert bound <= max(milliseconds, 1) * GROWTH * (1 + 1e-9)


@given(st.integers(0, 18))
def test_few_milliseconds_have_buckets_of_their_own(milliseconds: int) -> None:
    shared = latency_index(milliseconds) == latency_index(milliseconds + 1)

    assert shared == (milliseconds == 0)


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_score_buckets_rise_with_the_scores(one: float, other: float) -> None:
    low, high = sorted((one, other))

    assert score_index(low) <= score_index(high)
    assert score_bound(score_index(low)) <= score_bound(score_index(high))


@given(st.floats(-1, 1))
def test_score_between_minus_one_and_one_lies_below_its_bound_by_a_hundredth(score: float) -> None:
    assert -1e-9 <= score_bound(score_index(score)) - score <= 0.01 + 1e-9


@pytest.mark.parametrize("score", [0.0, 1.0, -1.0, 0.07, 0.29, 0.5, 0.58])
def test_score_on_a_bound_is_counted_there(score: float) -> None:
    assert score_bound(score_index(score)) == score


def test_classes_are_told_apart() -> None:
    assert len({score_index(each) for each in range(-19, 20)}) == 39
