"""Whether a stage of a rollout passes, by comparing the requests that the new and the old deployment answered.

Each check has three outcomes, by confidence bounds: passed, when even the worse bound is allowed; failed, when even the
better bound is not; and inconclusive. A stage is measured repeatedly on growing counts, and any measurement can give
a false alarm. So the k-th measurement fails a check only at an error probability of (1 - confidence) / (checks * k
* (k + 1)), which sums to 1 - confidence over all measurements and checks of a stage, however many there are. Passing
is not corrected: a model that passes by chance is measured again at the next stage, on new requests.

Some rows of the log may still be missing (`INGESTION_LAG`). They are missing for both deployments, so there are fewer
requests, and their shares are not distorted.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum, auto
from itertools import accumulate
from typing import Final

from anew.core.evidence.tree import Node, Verdict, all_of
from anew.core.policies.deploy import Analysis
from anew.core.rollouts.score_shift import LEAST_SCORES, score_shift
from anew.core.rollouts.traffic import RequestStats
from anew.core.statistics.binomial import rank_at_least, rank_at_most, share_at_least, share_at_most

INGESTION_LAG: Final = timedelta(minutes=10)
"""The usual longest delay of a resource log's rows (Microsoft: 3 to 10 minutes). A shorter silence says nothing."""

PERCENTILE: Final = 0.95


class StageOutcome(StrEnum):
    """The outcome of one measurement of a stage."""

    PASS = auto()
    FAIL = auto()
    INCONCLUSIVE = auto()


@dataclass(frozen=True, slots=True)
class StageVerdict:
    """The outcome of one measurement, with its explanation: a check that passed is a yes, one that failed is a no."""

    outcome: StageOutcome
    node: Node


@dataclass(frozen=True, slots=True)
class _Measurement:
    """The input of a check: requests answered, and the error probabilities at which it may pass and fail."""

    new: RequestStats
    old: RequestStats | None
    passing: float
    failing: float


def judge_stage(
    analysis: Analysis, min_requests: int, new: RequestStats, old: RequestStats | None, measurements: int
) -> StageVerdict:
    """Pass, fail or hold a stage, after `measurements` earlier measurements of it.

    `old` are the requests that the old deployment answered on the same traffic, or on the stage before if it gets no
    more. Without it, errors are compared with `max_error_increase` alone, and latency and scores with nothing. With
    fewer than `min_requests` a stage can fail but not pass.
    """
    limits = (
        (_errors, analysis.max_error_increase),
        (_latency, analysis.max_latency_increase),
        (_scores, analysis.max_score_shift),
    )
    checks = [(check, limit) for check, limit in limits if limit is not None]
    alpha = 1 - analysis.confidence
    failing = alpha / (len(checks) * (measurements + 1) * (measurements + 2))
    measured = _Measurement(new, old if old and old.requests else None, alpha, failing)
    enough = Verdict.YES if new.requests >= min_requests else Verdict.UNKNOWN
    sentence = f"{new.requests} answered, {min_requests} are needed"
    requests = Node("requests", enough, sentence, {"requests": new.requests, "min_requests": min_requests})
    children = (requests, *(check(limit, measured) for check, limit in checks))
    verdict = all_of(child.verdict for child in children)
    deciding = "; ".join(f"{child.rule}: {child.sentence}" for child in children if child.verdict is verdict)
    match verdict:
        case Verdict.YES:
            outcome, sentence = StageOutcome.PASS, f"nothing is worse than allowed in {new.requests} answers"
        case Verdict.NO:
            outcome, sentence = StageOutcome.FAIL, f"worse than allowed: {deciding}"
        case Verdict.UNKNOWN | Verdict.ERROR:
            outcome, sentence = StageOutcome.INCONCLUSIVE, deciding
    return StageVerdict(outcome, Node("stage", verdict, sentence, {"measurements": measurements}, children))


# --- errors -----------------------------------------------------------------------------------------------


def _errors(limit: float, measured: _Measurement) -> Node:
    lower = error_increase(measured.new, measured.old, measured.failing)[0]
    upper = error_increase(measured.new, measured.old, measured.passing)[1]
    verdict = _verdict(lower, upper, limit)
    beside = (
        f"the old {_percent(measured.old.errors / measured.old.requests)}" if measured.old else "without an old one"
    )
    shown = f"at least {_points(lower)}" if verdict is Verdict.NO else f"at most {_points(upper)}"
    rate = f" ({_percent(measured.new.errors / measured.new.requests)})" if measured.new.requests else ""
    sentence = f"{measured.new.errors} of {measured.new.requests}{rate}, {beside}: {shown}, {_points(limit)} is allowed"
    values = {
        "errors": measured.new.errors,
        "requests": measured.new.requests,
        "lower": lower,
        "upper": upper,
        "limit": limit,
    }
    if measured.old:
        values |= {"old_errors": measured.old.errors, "old_requests": measured.old.requests}
    return Node("errors", verdict, sentence, values)


def error_increase(new: RequestStats, old: RequestStats | None, alpha: float) -> tuple[float, float]:
    """One-sided bounds, each at confidence 1 - alpha, of the new error rate minus the old one, in -1..1.

    The exact bounds of each rate (Clopper and Pearson) combined by the square-root rule of Newcombe (1998, method
    10; Zou and Donner 2008). Newcombe starts from Wilson's bounds, which are too narrow for rare errors at small alpha.
    Both ends rise with every error of the new deployment. Without an old one they are the bounds of the new rate.
    """
    if not new.requests:
        return -1.0, 1.0
    rate, low, high = _rate(new, alpha)
    if old is None:
        return low, high
    old_rate, old_low, old_high = _rate(old, alpha)
    difference = rate - old_rate
    return difference - math.hypot(rate - low, old_high - old_rate), difference + math.hypot(
        high - rate, old_rate - old_low
    )


def _rate(answers: RequestStats, alpha: float) -> tuple[float, float, float]:
    errors, requests = answers.errors, answers.requests
    return errors / requests, share_at_least(errors, requests, alpha), share_at_most(errors, requests, alpha)


# --- latency ----------------------------------------------------------------------------------------------


def _latency(limit: float, measured: _Measurement) -> Node:
    rule = "latency"
    if measured.old is None or not measured.old.latencies:
        return Node(rule, Verdict.YES, "no other deployment answered: there is nothing to compare with")
    if not measured.new.latencies:
        return Node(rule, Verdict.UNKNOWN, "the new deployment answered nothing yet")
    (new, *_), (old, *_) = (_percentile(each.latencies, measured.passing) for each in (measured.new, measured.old))
    lower = latency_ratio(measured.new, measured.old, measured.failing)[0]
    upper = latency_ratio(measured.new, measured.old, measured.passing)[1]
    verdict = _verdict(lower, upper, 1 + limit)
    shown = (
        "too few answers for a bound"
        if math.isinf(upper) and verdict is not Verdict.NO
        else f"at least {lower:.2f} times"
        if verdict is Verdict.NO
        else f"at most {upper:.2f} times"
    )
    sentence = f"p95 {new:.0f} ms, the old {old:.0f} ms: {shown}, {1 + limit:.2f} times is allowed"
    bounds = {name: value for name, value in (("lower", lower), ("upper", upper)) if math.isfinite(value)}
    return Node(rule, verdict, sentence, {"p95": new, "old_p95": old, "limit": 1 + limit, **bounds})


def latency_ratio(new: RequestStats, old: RequestStats, alpha: float) -> tuple[float, float]:
    """One-sided bounds, each at confidence 1 - alpha, of the new 95th percentile over the old one; 0 and infinity when
    the answers are too few.

    Order statistics bound each percentile whatever the distribution; the logarithms of both are combined by the
    square-root rule, as error rates are. Azure logs whole milliseconds, so one is added to both: 1 ms after 0 ms is no
    slow-down.
    """
    (p95, low, high), (old_p95, old_low, old_high) = (_percentile(each.latencies, alpha) for each in (new, old))
    ratio = math.log1p(p95) - math.log1p(old_p95)
    below = math.hypot(_log_ratio(p95, low), _log_ratio(old_high, old_p95))
    above = math.hypot(_log_ratio(high, p95), _log_ratio(old_p95, old_low))
    return math.exp(ratio - below), math.exp(min(ratio + above, 700.0)) if math.isfinite(above) else math.inf


def _log_ratio(larger: float, smaller: float | None) -> float:
    """ln((1 + larger) / (1 + smaller)); infinite when the smaller one has no bound."""
    return math.inf if smaller is None else math.log1p(larger) - math.log1p(smaller)


def _percentile(latencies: Mapping[float, int], alpha: float) -> tuple[float, float | None, float]:
    """The 95th percentile, its lower bound or None, and its upper bound, which may be infinite."""
    bounds = sorted(latencies)
    counted = list(accumulate(latencies[bound] for bound in bounds))
    total = counted[-1]

    def at(rank: int) -> float:
        return next(bound for bound, count in zip(bounds, counted, strict=True) if count >= rank)

    lowest, highest = rank_at_most(PERCENTILE, total, alpha), rank_at_least(PERCENTILE, total, alpha)
    point = at(max(1, math.ceil(PERCENTILE * total)))
    return point, at(lowest) if lowest else None, math.inf if highest is None else at(highest)


# --- scores -----------------------------------------------------------------------------------------------


def _scores(limit: float, measured: _Measurement) -> Node:
    rule = "scores"
    if measured.old is None:
        return Node(rule, Verdict.YES, "no other deployment answered: there is nothing to compare with")
    if not measured.old.scores:
        return Node(rule, Verdict.UNKNOWN, "the old deployment logged no scores, which a shift is measured from")
    counts = {"scores": sum(measured.new.scores.values()), "old_scores": sum(measured.old.scores.values())}
    if min(counts.values()) < LEAST_SCORES:
        sentence = f"{counts['scores']} scores and {counts['old_scores']} of the old: {LEAST_SCORES} of each are needed"
        return Node(rule, Verdict.UNKNOWN, sentence, counts)
    lower = score_shift(measured.new.scores, measured.old.scores, measured.failing).lower
    shift = score_shift(measured.new.scores, measured.old.scores, measured.passing)
    verdict = _verdict(lower, shift.upper, limit)
    shown = f"at least {lower:.3f}" if verdict is Verdict.NO else f"at most {shift.upper:.3f}"
    sentence = f"distance {shift.distance:.3f} over {shift.bins} bins: {shown}, {limit:g} is allowed"
    values = {"distance": shift.distance, "lower": lower, "upper": shift.upper, "limit": limit, **counts}
    return Node(rule, verdict, sentence, values)


# --- shared by all checks ---------------------------------------------------------------------------------


def _verdict(lower: float, upper: float, limit: float) -> Verdict:
    if lower > limit:
        return Verdict.NO
    return Verdict.YES if upper <= limit else Verdict.UNKNOWN


def _percent(share: float) -> str:
    return f"{100 * share:.1f}".removesuffix(".0") + " %"


def _points(difference: float) -> str:
    return f"{100 * difference:+.1f}".removesuffix(".0") + " %"
