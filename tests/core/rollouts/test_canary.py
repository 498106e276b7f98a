"""A stage's verdict: which answers pass, fail and hold it, and how often chance alone would send a good model back."""

import json
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import betaincinv

from anew.core.decisions.explain import from_json, to_json, tree_lines
from anew.core.drift.distances import jensen_shannon_distance
from anew.core.evidence.tree import Verdict
from anew.core.policies.deploy import Analysis
from anew.core.rollouts.canary import StageOutcome, StageVerdict, error_increase, judge_stage, latency_ratio
from anew.core.rollouts.histograms import latency_bound, latency_index, score_bound, score_index
from anew.core.rollouts.score_shift import score_shift
from anew.core.rollouts.traffic import RequestStats

POLLS = 60
STAGES = 5
DEFAULT = Analysis()
ERRORS_ONLY = Analysis(max_latency_increase=None)
LATENCY = Analysis(max_error_increase=1.0)
SCORES = Analysis(max_error_increase=1.0, max_latency_increase=None, max_score_shift=0.1)
ORDER = {StageOutcome.PASS: 0, StageOutcome.INCONCLUSIVE: 1, StageOutcome.FAIL: 2}

Ints = NDArray[np.int64]


def timed(milliseconds: Sequence[float] | NDArray[np.float64], errors: int = 0) -> RequestStats:
    """Answers with these latencies, and besides so many errors."""
    return RequestStats(
        len(milliseconds) + errors, errors, counted([latency_bound(latency_index(x)) for x in milliseconds])
    )


def scored(scores: Sequence[float] | NDArray[np.float64]) -> RequestStats:
    """Answers that predicted these."""
    return RequestStats(len(scores), scores=counted([score_bound(score_index(float(score))) for score in scores]))


def counted(bounds: Sequence[float]) -> dict[float, int]:
    values, counts = np.unique(np.array(bounds), return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def judge(
    new: RequestStats, old: RequestStats | None, analysis: Analysis = ERRORS_ONLY, *, looks: int = 0, least: int = 100
) -> StageOutcome:
    return judge_stage(analysis, least, new, old, looks).outcome


def check(verdict: StageVerdict, rule: str) -> Verdict:
    return next(child.verdict for child in verdict.node.children if child.rule == rule)


counts = st.integers(0, 3000).flatmap(lambda requests: st.tuples(st.just(requests), st.integers(0, requests)))


# --- errors -----------------------------------------------------------------------------------------------


def test_partial_crash_fails_early() -> None:
    """A model that crashes on a tenth of its inputs fails within a hundred requests."""
    assert judge(RequestStats(60, 6), RequestStats(300, 1)) is StageOutcome.FAIL


def test_constant_crash_fails_at_once() -> None:
    """A model that always crashes fails at once."""
    assert judge(RequestStats(5, 5), RequestStats(25, 0)) is StageOutcome.FAIL


def test_equal_models_pass() -> None:
    """Equal models pass once there are enough requests."""
    assert judge(RequestStats(1000, 2), RequestStats(5000, 10)) is StageOutcome.PASS
    assert judge(RequestStats(100, 0), RequestStats(500, 1)) is StageOutcome.INCONCLUSIVE


def test_failure_needs_no_minimum() -> None:
    """A stage may fail before it has `min_requests`, but not pass."""
    assert judge(RequestStats(60, 6), RequestStats(300, 1), least=1000) is StageOutcome.FAIL
    assert judge(RequestStats(999, 0), RequestStats(5000, 1), least=1000) is StageOutcome.INCONCLUSIVE
    assert judge(RequestStats(1000, 0), RequestStats(5000, 1), least=1000) is StageOutcome.PASS


@pytest.mark.parametrize("old", [None, RequestStats()])
def test_errors_without_old_deployment(old: RequestStats | None) -> None:
    """Without an old deployment errors are judged by the limit alone."""
    assert judge(RequestStats(300, 0), old) is StageOutcome.PASS
    assert judge(RequestStats(200, 0), old) is StageOutcome.INCONCLUSIVE
    assert judge(RequestStats(300, 20), old) is StageOutcome.FAIL


def test_no_answers_hold() -> None:
    """A stage without answers holds."""
    assert judge(RequestStats(), RequestStats(500, 1), DEFAULT, least=0) is StageOutcome.INCONCLUSIVE
    assert judge(RequestStats(), None, DEFAULT, least=0) is StageOutcome.INCONCLUSIVE


@given(counts, counts, st.integers(0, 100))
def test_error_never_improves_a_stage(new: tuple[int, int], old: tuple[int, int], looks: int) -> None:
    """One more error never makes the outcome of a stage better."""
    assume(new[1] < new[0])
    before = judge(RequestStats(*new), RequestStats(*old), looks=looks)

    after = judge(RequestStats(new[0], new[1] + 1), RequestStats(*old), looks=looks)

    assert ORDER[after] >= ORDER[before]


@given(counts, counts, st.integers(0, 100))
def test_later_look_is_stricter(new: tuple[int, int], old: tuple[int, int], looks: int) -> None:
    """A later look never fails what an earlier look at the same counts would not fail."""
    if judge(RequestStats(*new), RequestStats(*old), looks=looks + 1) is StageOutcome.FAIL:
        assert judge(RequestStats(*new), RequestStats(*old), looks=looks) is StageOutcome.FAIL


@given(counts, counts, st.sampled_from([0.05, 1e-3]))
def test_error_bounds_contain_difference(new: tuple[int, int], old: tuple[int, int], alpha: float) -> None:
    """The bounds contain the difference and are mirrored when the deployments are swapped."""
    assume(new[0] and old[0])
    lower, upper = error_increase(RequestStats(*new), RequestStats(*old), alpha)

    assert lower <= new[1] / new[0] - old[1] / old[0] <= upper
    assert error_increase(RequestStats(*old), RequestStats(*new), alpha) == pytest.approx((-upper, -lower))


# --- errors, simulated ------------------------------------------------------------------------------------


def increase_at_least(
    new: tuple[Ints, Ints], old: tuple[Ints, Ints], alpha: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The lower bound of error_increase, for many at once. Counts are (requests, errors)."""
    (requests, errors), (old_requests, old_errors) = new, old
    rate, old_rate = errors / requests, old_errors / old_requests
    low = np.where(errors > 0, betaincinv(np.maximum(errors, 1), requests - errors + 1, alpha), 0.0)
    rest = np.maximum(old_requests - old_errors, 1)
    high = np.where(old_errors < old_requests, betaincinv(old_errors + 1, rest, 1 - alpha), 1.0)
    return rate - old_rate - np.hypot(rate - low, high - old_rate)


def first_failures(rate: float, old_rate: float, split: tuple[int, int], limit: float, stages: int) -> Ints:
    """The first of 60 looks at which each simulated stage fails, POLLS where none does."""
    chance = np.random.default_rng(5)
    looks = np.arange(POLLS)
    alpha = 0.05 / (2 * (looks + 1) * (looks + 2))
    drawn = [
        (share * (looks + 1), chance.binomial(share, each, (stages, POLLS)).cumsum(axis=1))
        for share, each in zip(split, (rate, old_rate), strict=True)
    ]
    failed = increase_at_least(drawn[0], drawn[1], alpha) > limit
    return np.where(failed.any(axis=1), failed.argmax(axis=1), POLLS)


@given(counts, counts, st.integers(0, 100))
def test_simulation_uses_the_same_bound(new: tuple[int, int], old: tuple[int, int], looks: int) -> None:
    """The bound used in the simulations is the one of the analysis."""
    assume(new[0] and old[0])
    alpha = 0.05 / (2 * (looks + 1) * (looks + 2))
    arrays = [(np.array([each[0]]), np.array([each[1]])) for each in (new, old)]

    [lower] = increase_at_least(arrays[0], arrays[1], np.array(alpha))

    assert lower == pytest.approx(error_increase(RequestStats(*new), RequestStats(*old), alpha)[0], abs=1e-8)
    if abs(lower - 0.01) > 1e-6:
        # Nothing was timed, so of the two checks in force only errors can fail.
        assert (lower > 0.01) == (
            judge(RequestStats(*new), RequestStats(*old), DEFAULT, looks=looks) is StageOutcome.FAIL
        )


@pytest.mark.parametrize("errors", [0.0005, 0.002, 0.02, 0.1])
@pytest.mark.parametrize("split", [(5, 25), (20, 100), (50, 950)])
def test_equal_model_rarely_fails(errors: float, split: tuple[int, int]) -> None:
    """An equal model rarely fails in five stages of sixty looks."""
    rollouts = 200

    failed = first_failures(errors, errors, split, 0.01, rollouts * STAGES) < POLLS

    assert failed.reshape(rollouts, STAGES).any(axis=1).mean() <= 0.05


@pytest.mark.parametrize("split", [(5, 25), (20, 100)])
def test_stage_at_limit_rarely_fails(split: tuple[int, int]) -> None:
    """A stage of a model exactly at the limit fails at most as often as its confidence allows."""
    assert (first_failures(0.012, 0.002, split, 0.01, 500) < POLLS).mean() <= 0.05
    assert (first_failures(0.02, 0.02, split, 0.0, 500) < POLLS).mean() <= 0.05


@pytest.mark.parametrize(("split", "most"), [((5, 25), 80), ((20, 100), 60)])
def test_partial_crash_is_caught_quickly(split: tuple[int, int], most: int) -> None:
    """A crash on a tenth of inputs is caught within tens of requests."""
    first = first_failures(0.102, 0.002, split, 0.01, 500)

    assert np.median((first + 1) * split[0]) <= most
    assert (first < POLLS).mean() > 0.99


# --- latency ----------------------------------------------------------------------------------------------


def lognormal(median: float, count: int, seed: int) -> NDArray[np.float64]:
    return np.round(np.random.default_rng(seed).lognormal(np.log(median), 0.42, count))


def test_equal_latency_passes() -> None:
    """A model that is equally fast passes."""
    assert judge(timed(lognormal(40, 500, 1)), timed(lognormal(40, 2500, 2)), LATENCY) is StageOutcome.PASS


def test_double_latency_fails() -> None:
    """A model with twice the latency fails."""
    assert judge(timed(lognormal(80, 300, 1)), timed(lognormal(40, 1500, 2)), LATENCY) is StageOutcome.FAIL


def test_few_latencies_hold() -> None:
    """Too few answers hold."""
    assert (
        judge(timed(lognormal(40, 40, 1)), timed(lognormal(40, 200, 2)), LATENCY, least=0) is StageOutcome.INCONCLUSIVE
    )


def test_latency_without_old_deployment() -> None:
    """Without an old deployment any latency passes, and the verdict says so."""
    verdict = judge_stage(LATENCY, 100, timed(lognormal(9000, 500, 1)), None, 0)

    assert check(verdict, "latency") is Verdict.YES
    assert "nothing to compare with" in str(tree_lines(verdict.node))


def test_one_millisecond_is_no_slowdown() -> None:
    """A latency one millisecond higher is not a slowdown."""
    assert judge(timed([1] * 3000), timed([0] * 3000), LATENCY) is StageOutcome.PASS


@given(
    st.lists(st.integers(0, 5000), min_size=1, max_size=200), st.lists(st.integers(0, 5000), min_size=1, max_size=200)
)
@settings(max_examples=50)
def test_latency_bounds_contain_ratio(new: list[int], old: list[int]) -> None:
    """The bounds of latency contain the ratio of the percentiles."""
    lower, upper = latency_ratio(timed(new), timed(old), 0.05)
    p95, old_p95 = (latency_bound(latency_index(sorted(each)[-(-19 * len(each) // 20) - 1])) for each in (new, old))

    assert lower <= (1 + p95) / (1 + old_p95) * (1 + 1e-9)
    assert upper >= (1 + p95) / (1 + old_p95) * (1 - 1e-9)


@pytest.mark.parametrize("split", [(5, 25), (20, 100)])
def test_equal_latency_rarely_fails(split: tuple[int, int]) -> None:
    """An equally fast model rarely fails, even when no increase is allowed."""
    strict, stages, failed = Analysis(max_error_increase=1.0, max_latency_increase=0.0), 60, 0
    for seed in range(stages):
        drawn = [lognormal(40, share * POLLS, 2 * seed + side) for side, share in enumerate(split)]
        for looks in range(0, POLLS, 3):
            seen = [timed(each[: share * (looks + 1)]) for each, share in zip(drawn, split, strict=True)]
            if judge(seen[0], seen[1], strict, looks=looks) is StageOutcome.FAIL:
                failed += 1
                break

    assert failed / stages <= 0.05


# --- scores -----------------------------------------------------------------------------------------------


def normal(mean: float, count: int, seed: int) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(mean, 0.15, count)


def test_same_scores_pass() -> None:
    """Scores of the same distribution pass."""
    assert judge(scored(normal(0.5, 1000, 1)), scored(normal(0.5, 5000, 2)), SCORES) is StageOutcome.PASS


def test_shifted_scores_fail() -> None:
    """Shifted scores fail."""
    assert judge(scored(normal(0.8, 300, 1)), scored(normal(0.5, 1500, 2)), SCORES) is StageOutcome.FAIL


def test_class_shares_are_compared() -> None:
    """Other shares of the classes fail, and the same shares pass."""
    new, old = [1.0] * 97 + [0.0] * 3, [1.0] * 60 + [0.0] * 40

    assert judge(scored(new * 10), scored(old * 10), SCORES) is StageOutcome.FAIL
    assert judge(scored(new * 10), scored(new * 50), SCORES) is StageOutcome.PASS


@pytest.mark.parametrize(
    ("new", "old"),
    [
        (scored(normal(0.5, 49, 1)), scored(normal(0.5, 5000, 2))),
        (RequestStats(500), scored(normal(0.5, 5000, 2))),
        (scored(normal(0.5, 500, 1)), RequestStats(500)),
    ],
)
def test_few_or_missing_scores_hold(new: RequestStats, old: RequestStats) -> None:
    """Scores that are too few or not logged hold."""
    assert judge(new, old, SCORES, least=0) is StageOutcome.INCONCLUSIVE


def test_scores_without_old_deployment() -> None:
    """Without an old deployment any scores pass."""
    assert judge(scored(normal(0.5, 500, 1)), None, SCORES) is StageOutcome.PASS


scores_of = st.lists(st.floats(-50, 50), min_size=50, max_size=300)


@given(scores_of, scores_of)
@settings(max_examples=50)
def test_shift_bounds_contain_distance(new: list[float], old: list[float]) -> None:
    """The bounds of a score shift contain its distance, which is symmetric."""
    shift = score_shift(scored(new).scores, scored(old).scores, 0.05)
    turned = score_shift(scored(old).scores, scored(new).scores, 0.05)

    assert 0 <= shift.lower <= shift.distance <= shift.upper <= 1
    assert turned.distance == pytest.approx(shift.distance)


def test_shift_bounds_keep_their_level() -> None:
    """The true distance is within the bounds as often as they state."""
    chance, alpha, wrong = np.random.default_rng(3), 0.05, np.zeros(2)
    shares = np.array([[0.1, 0.2, 0.4, 0.2, 0.1], [0.2, 0.3, 0.3, 0.1, 0.1]])
    truth = jensen_shannon_distance(shares[0], shares[1])
    for _ in range(1000):
        new, old = (
            dict(enumerate(chance.multinomial(rows, each).tolist()))
            for rows, each in zip((500, 2000), shares, strict=True)
        )
        shift = score_shift(new, old, alpha)
        wrong += shift.lower > truth, shift.upper < truth

    assert (wrong / 1000 <= alpha + 0.02).all()


# --- what is kept and shown -------------------------------------------------------------------------------


def test_verdict_survives_json() -> None:
    """A verdict survives strict JSON."""
    everything = Analysis(max_score_shift=0.1)
    for new, old in ((RequestStats(), None), (timed([5] * 20, errors=3), timed([5] * 3)), (scored([0.5] * 60),) * 2):
        node = judge_stage(everything, 100, new, old, 3).node

        assert from_json(json.loads(json.dumps(to_json(node), allow_nan=False))) == node


def test_sentence_names_figures() -> None:
    """The sentence names the figures and what is allowed."""
    verdict = judge_stage(ERRORS_ONLY, 100, RequestStats(400, 30), RequestStats(2000, 4), 0)

    assert verdict.node.sentence.startswith(
        "worse than allowed: errors: 30 of 400 (7.5 %), the old 0.2 %: at least +4."
    )
    assert verdict.node.sentence.endswith("+1 % is allowed")


def test_hold_says_what_it_awaits() -> None:
    """A stage that holds says what it waits for."""
    verdict = judge_stage(ERRORS_ONLY, 100, RequestStats(50, 0), RequestStats(250, 0), 0)

    assert verdict.node.sentence.startswith("requests: 50 answered, 100 are needed; errors: 0 of 50")
