"""Bounds and tests from counts: published values, and the probabilities that define them."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from anew.core.statistics.binomial import (
    mcnemar_p,
    paired_bounds,
    rank_at_least,
    rank_at_most,
    share_at_least,
    share_at_most,
)

ALPHAS = st.sampled_from([0.05, 1e-3, 1e-6])


@pytest.mark.parametrize(
    ("successes", "trials", "lower", "upper"),
    [(81, 263, 0.2527, 0.3676), (15, 148, 0.0578, 0.1617), (0, 20, 0.0, 0.1684), (1, 29, 0.0009, 0.1776)],
)
def test_share_bounds_are_the_published(successes: int, trials: int, lower: float, upper: float) -> None:
    """Newcombe (1998), Stat. Med. 17(8), Table I, method 5: Clopper and Pearson at 95 %."""
    assert share_at_least(successes, trials, 0.025) == pytest.approx(lower, abs=6e-5)
    assert share_at_most(successes, trials, 0.025) == pytest.approx(upper, abs=6e-5)


@given(st.integers(1, 3000), st.floats(0, 1), ALPHAS)
def test_share_at_its_bound(trials: int, part: float, alpha: float) -> None:
    """At its bound a share gives so many successes, or more extreme numbers, with probability alpha."""
    successes = round(part * trials)
    low, high = share_at_least(successes, trials, alpha), share_at_most(successes, trials, alpha)
    if successes:
        assert stats.binom.sf(successes - 1, trials, low) == pytest.approx(alpha, rel=1e-6)
    if successes < trials:
        assert stats.binom.cdf(successes, trials, high) == pytest.approx(alpha, rel=1e-6)
    assert low <= successes / trials <= high


@pytest.mark.parametrize(("trials", "rank"), [(58, None), (59, 59), (93, 93), (94, 93)])
def test_rank_of_the_first_bound(trials: int, rank: int | None) -> None:
    """The greatest of 59 values bounds the 95th percentile at 95 %, and of 58 none does (Wilks 1941: 0.95^59 < 0.05);
    from 93 on the second greatest would do.
    """
    assert rank_at_least(0.95, trials, 0.05) == (92 if trials == 93 else rank)


@given(st.integers(1, 20_000), ALPHAS)
def test_ranks_are_the_tightest(trials: int, alpha: float) -> None:
    """One rank farther in, the order statistic no longer bounds the quantile."""
    lower, upper = rank_at_most(0.95, trials, alpha), rank_at_least(0.95, trials, alpha)
    below = stats.binom(trials, 0.95)
    assert lower == 0 or below.cdf(lower - 1) <= alpha
    assert below.cdf(lower) > alpha
    if upper is None:
        assert below.sf(trials - 1) > alpha
    else:
        assert below.sf(upper - 1) <= alpha < below.sf(upper - 2)


@given(st.integers(0, 200), st.integers(0, 200), st.integers(0, 2000), st.floats(0.6, 0.999))
def test_paired_bounds_are_adjusted_wald(worse: int, better: int, rest: int, confidence: float) -> None:
    """They are the normal interval of a table with one more row of each discordant kind."""
    rows = worse + better + rest + 1
    lower, upper = paired_bounds(worse, better, rows, confidence)
    # The reference works on rows: +1 and -1 for the discordant ones with one more of each, 0 for the others.
    scores = np.repeat([-1.0, 1.0, 0.0], [worse + 1, better + 1, rows - worse - better])
    expected = stats.norm.interval(2 * confidence - 1, loc=scores.mean(), scale=scores.std() / math.sqrt(rows + 2))
    assert (lower, upper) == pytest.approx((max(expected[0], -1), min(expected[1], 1)), abs=1e-9)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(300, 3000))
def test_swapping_models_mirrors_bounds(worse: int, better: int, rows: int) -> None:
    """Swapping the models mirrors the paired bounds."""
    lower, upper = paired_bounds(worse, better, rows, 0.95)
    assert paired_bounds(better, worse, rows, 0.95) == pytest.approx((-upper, -lower))


def test_no_disagreement_has_an_interval() -> None:
    """Models that never disagree still have an interval."""
    lower, upper = paired_bounds(0, 0, 300, 0.95)
    assert lower < 0 < upper


@pytest.mark.parametrize(("worse", "better"), [(0, 0), (0, 1), (3, 3), (2, 8), (30, 11), (0, 60), (120, 80)])
def test_mcnemar_counts_coin_tosses(worse: int, better: int) -> None:
    """The p-value is twice the share of sequences of fair tosses at least as uneven, in either direction of it."""
    total, fewer = worse + better, min(worse, better)
    sequences = sum(math.comb(total, heads) for heads in range(fewer + 1))
    assert mcnemar_p(worse, better) == pytest.approx(min(1.0, 2 * sequences / 2**total), rel=1e-9)


@given(st.integers(0, 3000), st.integers(0, 3000))
def test_mcnemar_is_symmetric_and_monotonic(worse: int, better: int) -> None:
    """The p-value of McNemar is symmetric and falls with the imbalance."""
    assume(worse < better)
    assert mcnemar_p(worse, better) == mcnemar_p(better, worse) <= 1
    assert mcnemar_p(worse, better + 1) <= mcnemar_p(worse, better)
