"""What fixed thresholds would have said of the same answers: canary analysis as others do it by default.

One interval is 60 seconds of the new deployment's answers alone; the old one's are not looked at.
"""

import math
from collections.abc import Sequence
from enum import StrEnum
from itertools import accumulate

from anew.core.rollouts.traffic import RequestStats

INTERVAL_SECONDS = 60


class RivalOutcome(StrEnum):
    """What becomes of the canary after the intervals seen so far."""

    ADVANCE = "advance"
    HOLD = "hold"
    ROLL_BACK = "roll_back"


def flagger_default(
    intervals: Sequence[RequestStats], *, threshold: int = 1, success_percent: float = 99.0, p99_ms: float = 500.0
) -> RivalOutcome:
    """Flagger: each interval a check of request-success-rate (min 99) and request-duration (p99, max 500 ms), as in
    its documentation (docs.flagger.app/usage/metrics); back after `threshold` failed checks, 1 by default
    (fluxcd/flagger pkg/controller/scheduler.go). Failed checks add up over the whole analysis, and an interval
    without requests is one: "halt advancement, no values found".
    """
    failed = [not _flagger_passes(each, success_percent, p99_ms) for each in intervals]
    if sum(failed) >= threshold:
        return RivalOutcome.ROLL_BACK
    return RivalOutcome.HOLD if not failed or failed[-1] else RivalOutcome.ADVANCE


def argo_default(
    intervals: Sequence[RequestStats], *, success_share: float = 0.95, failure_limit: int = 0, error_limit: int = 4
) -> RivalOutcome:
    """Argo Rollouts: `successCondition: result >= 0.95` on the success rate, the example of its documentation
    (docs/features/analysis.md), with the default limits: abort on more than 0 failed measurements, or on more than 4
    in a row that had no result. The example's own failureLimit is 3.
    """
    failures = in_a_row = 0
    for each in intervals:
        in_a_row = 0 if each.requests else in_a_row + 1
        failures += bool(each.requests) and 1 - each.errors / each.requests < success_share
        if failures > failure_limit or in_a_row > error_limit:
            return RivalOutcome.ROLL_BACK
    return RivalOutcome.ADVANCE if intervals and not in_a_row else RivalOutcome.HOLD


def _flagger_passes(answers: RequestStats, success_percent: float, p99_ms: float) -> bool:
    if not answers.requests:
        return False
    succeeded = 100 * (1 - answers.errors / answers.requests)
    return succeeded >= success_percent and _percentile(answers, 0.99) <= p99_ms


def _percentile(answers: RequestStats, share: float) -> float:
    """The bound of the bucket that the percentile lies in; 0 when nothing was timed."""
    bounds = sorted(answers.latencies)
    counted = list(accumulate(answers.latencies[bound] for bound in bounds))
    if not counted:
        return 0.0
    rank = math.ceil(share * counted[-1])
    return next(bound for bound, count in zip(bounds, counted, strict=True) if count >= rank)
