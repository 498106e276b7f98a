"""Fixed-threshold canaries, as their documentation describes them."""

import pytest

from anew.core.rollouts.traffic import RequestStats
from bench.rivals_canary import RivalOutcome, argo_default, flagger_default

GOOD = RequestStats(100, 0, {50.0: 100})
QUIET = RequestStats()


@pytest.mark.parametrize(
    ("intervals", "outcome"),
    [
        ([GOOD, GOOD], RivalOutcome.ADVANCE),
        ([GOOD, RequestStats(100, 1, {50.0: 99})], RivalOutcome.ADVANCE),
        ([RequestStats(100, 2, {50.0: 98}), GOOD], RivalOutcome.ROLL_BACK),
        ([RequestStats(100, 0, {50.0: 98, 600.0: 2})], RivalOutcome.ROLL_BACK),
        ([RequestStats(100, 0, {50.0: 99, 600.0: 1})], RivalOutcome.ADVANCE),
        ([GOOD, QUIET], RivalOutcome.ROLL_BACK),
        ([], RivalOutcome.HOLD),
    ],
)
def test_flagger_rolls_back_on_failure(intervals: list[RequestStats], outcome: RivalOutcome) -> None:
    """Flagger rolls back at the first failed check."""
    assert flagger_default(intervals) is outcome


def test_flagger_threshold_tolerates_one_failure() -> None:
    """Flagger with a threshold of two holds after one failed check."""
    assert flagger_default([GOOD, RequestStats(100, 50)], threshold=2) is RivalOutcome.HOLD


@pytest.mark.parametrize(
    ("intervals", "outcome"),
    [
        ([GOOD, RequestStats(100, 5)], RivalOutcome.ADVANCE),
        ([RequestStats(100, 6), GOOD], RivalOutcome.ROLL_BACK),
        ([GOOD, *[QUIET] * 4], RivalOutcome.HOLD),
        ([GOOD, *[QUIET] * 5], RivalOutcome.ROLL_BACK),
        ([], RivalOutcome.HOLD),
    ],
)
def test_argo_aborts_on_failure(intervals: list[RequestStats], outcome: RivalOutcome) -> None:
    """Argo aborts at the first failed measurement, or after five in a row without a result."""
    assert argo_default(intervals) is outcome
