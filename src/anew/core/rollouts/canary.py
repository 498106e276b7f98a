"""Whether a stage of a rollout passes, by what the new deployment answered beside the old one.

Each check has three answers, by confidence bounds: passed, when even the bad end is allowed; failed, when even the good
end is not; and inconclusive. A stage is measured again and again on growing counts, and every measurement is a chance
of a false alarm. So the k-th measurement fails a check only at an error probability of (1 - confidence) / (checks * k
* (k + 1)), which sums to 1 - confidence over all measurements and checks of a stage, however many there are. Passing
is not corrected: a model that passes by luck meets the next stage with fresh requests.

What is counted may still be coming in (`INGESTION_LAG`). A late row is late for both deployments, so fewer
requests are known, and their shares are not distorted.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum, auto
from itertools import accumulate
from typing import Any, Final

from anew.core.evidence.tree import Node, Verdict, all_of
from anew.core.policies.deploy import Analysis
from anew.core.rollouts.score_shift import LEAST_SCORES, score_shift
from anew.core.rollouts.traffic import RequestStats
from anew.core.statistics.binomial import rank_at_least, rank_at_most, share_at_least, share_at_most

INGESTION_LAG: Final = timedelta(minutes=10)
"""How late rows of a resource log usually are at most (Microsoft: 3 to 10 minutes). Silence for less says nothing."""

PERCENTILE: Final = 0.95


class StageOutcome(StrEnum):
    """What one look at a stage came to."""

    PASS = auto()
    FAIL = auto()
    HOLD = auto()


@dataclass(frozen=True, slots=True)
class StageVerdict:
    """The outcome of one look, with the tree that explains it: a check that passed is a yes, one that failed a no."""

    outcome: StageOutcome
    node: Node


@dataclass(frozen=True, slots=True)
class _Look:
    """What a check is given: the answers, and the error probabilities at which it may pass and fail."""

    new: RequestStats
    old: RequestStats | None
    passing: float
    failing: float


def judge_stage(
    analysis: Analysis, min_requests: int, new: RequestStats, old: RequestStats | None, measurements: int
) -> StageVerdict:
    """Pass, fail or hold a stage, after `measurements` earlier measurements at it.

    `old` is what the old deployment answered on the same traffic, or, where it gets none any more, on the stage before;
    without any, errors are held against `max_error_increase` alone, and latency and scores against nothing. With fewer
    than `min_requests` a stage can fail but not pass.
    """
    checks = _checks(analysis)
    alpha = 1 - analysis.confidence
    look = _Look(
        new,
        old if old and old.requests else None,
        alpha,
        alpha / (len(checks) * (measurements + 1) * (measurements + 2)),
    )
    children = (_requests(min_requests, new), *(check(look) for check in checks))
    verdict = all_of(child.verdict for child in children)
    sentence = _why(verdict, children, new)
    return StageVerdict(_OUTCOMES[verdict], Node("stage", verdict, sentence, {"measurements": measurements}, children))


_OUTCOMES: Final[Mapping[Verdict, StageOutcome]] = {
    Verdict.YES: StageOutcome.PASS,
    Verdict.NO: StageOutcome.FAIL,
    Verdict.UNKNOWN: StageOutcome.HOLD,
}


def _why(verdict: Verdict, children: tuple[Node, ...], new: RequestStats) -> str:
    if verdict is Verdict.YES:
        return f"nothing is worse than allowed in {new.requests} answers"
    deciding = "; ".join(f"{child.rule}: {child.sentence}" for child in children if child.verdict is verdict)
    return f"worse than allowed: {deciding}" if verdict is Verdict.NO else f"cannot tell yet: {deciding}"


def _checks(analysis: Analysis) -> list[Callable[[_Look], Node]]:
    checks: list[Callable[[_Look], Node]] = [lambda look: _errors(analysis.max_error_increase, look)]
    if (increase := analysis.max_latency_increase) is not None:
        checks.append(lambda look: _latency(increase, look))
    if (shift := analysis.max_score_shift) is not None:
        checks.append(lambda look: _scores(shift, look))
    return checks


def _requests(least: int, new: RequestStats) -> Node:
    enough = Verdict.YES if new.requests >= least else Verdict.UNKNOWN
    sentence = f"{new.requests} answered, {least} are wanted"
    return Node("requests", enough, sentence, {"requests": new.requests, "min_requests": least})


# --- errors -----------------------------------------------------------------------------------------------


def _errors(limit: float, look: _Look) -> Node:
    lower, upper = (
        error_increase(look.new, look.old, look.failing)[0],
        error_increase(look.new, look.old, look.passing)[1],
    )
    verdict = _verdict(lower, upper, limit)
    beside = f"the old {_percent(look.old.errors / look.old.requests)}" if look.old else "no old one beside it"
    shown = f"at least {_points(lower)}" if verdict is Verdict.NO else f"at most {_points(upper)}"
    rate = f" ({_percent(look.new.errors / look.new.requests)})" if look.new.requests else ""
    sentence = f"{look.new.errors} of {look.new.requests}{rate}, {beside}: {shown}, {_points(limit)} is allowed"
    values = {"errors": look.new.errors, "requests": look.new.requests, "lower": lower, "upper": upper, "limit": limit}
    return Node("errors", verdict, sentence, values | _counts_of(look.old))


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


def _counts_of(old: RequestStats | None) -> dict[str, Any]:
    return {} if old is None else {"old_errors": old.errors, "old_requests": old.requests}


# --- latency ----------------------------------------------------------------------------------------------


def _latency(limit: float, look: _Look) -> Node:
    rule = "latency"
    if look.old is None or not look.old.latencies:
        return Node(rule, Verdict.YES, "no other deployment answered: there is nothing to compare with")
    if not look.new.latencies:
        return Node(rule, Verdict.UNKNOWN, "the new deployment answered nothing yet")
    (new, *_), (old, *_) = (_percentile(each.latencies, look.passing) for each in (look.new, look.old))
    lower = latency_ratio(look.new, look.old, look.failing)[0]
    upper = latency_ratio(look.new, look.old, look.passing)[1]
    verdict = _verdict(lower, upper, 1 + limit)
    shown = (
        "too few answers to tell how slow the slowest are"
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
    square-root rule as error rates are. Azure logs whole milliseconds, so one is added to both: no ratio of 1 ms
    to 0 ms is a slow-down.
    """
    (p95, low, high), (old_p95, old_low, old_high) = (_percentile(each.latencies, alpha) for each in (new, old))
    ratio = math.log1p(p95) - math.log1p(old_p95)
    below = math.hypot(_log_ratio(p95, low), _log_ratio(old_high, old_p95))
    above = math.hypot(_log_ratio(high, p95), _log_ratio(old_p95, old_low))
    return math.exp(ratio - below), math.exp(min(ratio + above, 700.0)) if math.isfinite(above) else math.inf


def _log_ratio(larger: float, smaller: float | None) -> float:
    """ln((1 + larger) / (1 + smaller)); infinite when the smaller one is not bounded."""
    return math.inf if smaller is None else math.log1p(larger) - math.log1p(smaller)


def _percentile(latencies: Mapping[float, int], alpha: float) -> tuple[float, float | None, float]:
    """The 95th percentile with its lower bound, None when there is none, and its upper one, which may be infinite."""
    bounds = sorted(latencies)
    counted = list(accumulate(latencies[bound] for bound in bounds))
    total = counted[-1]

    def at(rank: int) -> float:
        return next(bound for bound, count in zip(bounds, counted, strict=True) if count >= rank)

    lowest, highest = rank_at_most(PERCENTILE, total, alpha), rank_at_least(PERCENTILE, total, alpha)
    point = at(max(1, math.ceil(PERCENTILE * total)))
    return point, at(lowest) if lowest else None, math.inf if highest is None else at(highest)


# --- scores -----------------------------------------------------------------------------------------------


def _scores(limit: float, look: _Look) -> Node:
    rule = "scores"
    if look.old is None or not look.old.scores:
        if look.old is None:
            return Node(rule, Verdict.YES, "no other deployment answered: there is nothing to compare with")
        return Node(rule, Verdict.UNKNOWN, "the old deployment logged no scores: without them a shift cannot be seen")
    counts = {"scores": sum(look.new.scores.values()), "old_scores": sum(look.old.scores.values())}
    if min(counts.values()) < LEAST_SCORES:
        sentence = f"{counts['scores']} scores and {counts['old_scores']} of the old: {LEAST_SCORES} of each are wanted"
        return Node(rule, Verdict.UNKNOWN, sentence, counts)
    lower = score_shift(look.new.scores, look.old.scores, look.failing).lower
    shift = score_shift(look.new.scores, look.old.scores, look.passing)
    verdict = _verdict(lower, shift.upper, limit)
    shown = f"at least {lower:.3f}" if verdict is Verdict.NO else f"at most {shift.upper:.3f}"
    sentence = f"distance {shift.distance:.3f} over {shift.bins} bins: {shown}, {limit:g} is allowed"
    values = {"distance": shift.distance, "lower": lower, "upper": shift.upper, "limit": limit, **counts}
    return Node(rule, verdict, sentence, values)


# --- what all checks share --------------------------------------------------------------------------------


def _verdict(lower: float, upper: float, limit: float) -> Verdict:
    if lower > limit:
        return Verdict.NO
    return Verdict.YES if upper <= limit else Verdict.UNKNOWN


def _percent(share: float) -> str:
    return f"{100 * share:.1f}".removesuffix(".0") + " %"


def _points(difference: float) -> str:
    return f"{100 * difference:+.1f}".removesuffix(".0") + " %"
