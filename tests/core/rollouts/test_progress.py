"""When a rollout goes on and when it is aborted."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from anew.core.rollouts.canary import StageOutcome
from anew.core.rollouts.lifecycle import Rollout, RolloutState
from anew.core.rollouts.progress import (
    Measurement,
    bake_ends_at,
    counts_with,
    is_bake_measured,
    is_due,
    is_stalled,
    judge,
    reason_to_abort,
)
from anew.core.rollouts.traffic import RequestStats
from tests.builders import START, stage
from tests.core.rollouts.samples import release, rollback, rule

ANALYSIS = {"every": "1m", "failure_limit": 1, "error_limit": 2, "inconclusive_for": "3h"}
ANALYSED = rule(analysis=ANALYSIS, steps=[stage(10, min_requests=100), stage(100)])
PLAIN = rule(steps=[stage(10, min_requests=100, wait="1h"), stage(100)])
PASSED, FAILED = Measurement(StageOutcome.PASS, "good"), Measurement(StageOutcome.FAIL, "bad")
INCONCLUSIVE, UNREAD = Measurement(StageOutcome.INCONCLUSIVE, "too few"), Measurement(None, "no answer")
SIX_HOURS = timedelta(hours=6)
SHIFTING = release(state=RolloutState.SHIFTING, step=0)


@pytest.mark.parametrize(
    ("measurement", "counts"),
    [(PASSED, (0, 0, 6)), (INCONCLUSIVE, (0, 0, 6)), (FAILED, (0, 3, 6)), (UNREAD, (2, 2, 5))],
)
def test_counts_follow_measurement(measurement: Measurement, counts: tuple[int, int, int]) -> None:
    """Failures and errors count in a row: any other outcome resets them, but an error leaves the failures."""
    before = replace(SHIFTING, errors=1, failures=2, measurements=5)
    after = replace(before, **counts_with(before, measurement))

    assert (after.errors, after.failures, after.measurements) == counts


@pytest.mark.parametrize(
    ("counts", "measurement", "minutes", "reason"),
    [
        ({"failures": 1}, FAILED, 1, None),
        ({"failures": 2}, FAILED, 1, "bad"),
        ({"errors": 2}, UNREAD, 1, None),
        ({"errors": 3}, UNREAD, 1, "3 measurements in a row: no answer"),
        ({}, INCONCLUSIVE, 180, None),
        ({}, INCONCLUSIVE, 181, "inconclusive for 3:01:00: too few"),
        ({}, PASSED, 181, None),
    ],
)
def test_limits_abort_stage(counts: dict[str, int], measurement: Measurement, minutes: int, reason: str | None) -> None:
    """A stage is aborted once a limit of its analysis is exceeded, and never before."""
    rollout = replace(SHIFTING, **counts)
    now = START + timedelta(minutes=minutes)

    assert reason_to_abort(rollout, ANALYSED, ANALYSED.steps[0], measurement, SIX_HOURS, now) == reason


@pytest.mark.parametrize(("hours", "aborts"), [(6, False), (7, True)])
def test_plain_stage_may_stall(hours: int, *, aborts: bool) -> None:
    """A stage without an analysis waits for its requests as long as any rollout may be stalled."""
    now = START + timedelta(hours=hours)

    assert (reason_to_abort(SHIFTING, PLAIN, PLAIN.steps[0], INCONCLUSIVE, SIX_HOURS, now) is not None) == aborts


@pytest.mark.parametrize(("requests", "outcome"), [(99, StageOutcome.INCONCLUSIVE), (100, StageOutcome.PASS)])
def test_plain_stage_counts_requests(requests: int, outcome: StageOutcome) -> None:
    """Without an analysis a stage passes by the number of its requests alone."""
    crashing = RequestStats(requests=requests, errors=requests)

    assert judge(SHIFTING, PLAIN, PLAIN.steps[0], crashing, None).outcome is outcome


def test_analysed_stage_is_judged() -> None:
    """With an analysis the answers of both deployments decide."""
    good, crashing = RequestStats(1000, 1, {50.0: 1000}), RequestStats(1000, 200, {50.0: 1000})

    assert judge(SHIFTING, ANALYSED, ANALYSED.steps[0], good, good).outcome is StageOutcome.PASS
    assert judge(SHIFTING, ANALYSED, ANALYSED.steps[0], crashing, good).outcome is StageOutcome.FAIL


def test_measurement_is_due_by_interval() -> None:
    """The first measurement is due at once, the next after the interval; without an analysis that is a second."""
    measured = replace(SHIFTING, measured_at=START)

    assert is_due(SHIFTING, ANALYSED, START)
    assert not is_due(measured, ANALYSED, START + timedelta(seconds=59))
    assert is_due(measured, ANALYSED, START + timedelta(seconds=60))
    assert not is_due(measured, PLAIN, START)
    assert is_due(measured, PLAIN, START + timedelta(seconds=1))


@pytest.mark.parametrize(
    ("rollout", "changes", "measured"),
    [
        (release(), {"analysis": ANALYSIS}, True),
        (release(), {}, False),
        (release(previous=None), {"analysis": ANALYSIS}, False),
        (rollback(), {"analysis": ANALYSIS}, False),
        (release(), {"analysis": ANALYSIS, "kind": "batch", "compute": "cpu", "sample_request": None}, False),
    ],
)
def test_which_bakes_are_measured(rollout: Rollout, changes: dict[str, Any], *, measured: bool) -> None:
    """A bake is measured only when it could be aborted: a release, online, with an old deployment to return to."""
    assert is_bake_measured(rollout, rule(**changes)) == measured


@pytest.mark.parametrize(
    ("previous", "bake", "wait", "hours"),
    [("price-3", "2h", "1h", 2), ("price-3", "1h", "3h", 3), (None, "2h", "1h", 0)],
)
def test_bake_lasts(previous: str | None, bake: str, wait: str, hours: int) -> None:
    """A bake lasts for the longer of `bake` and the last `wait`; there is none without an old deployment."""
    rollout = release(state=RolloutState.BAKING, previous=previous)

    assert bake_ends_at(rollout, rule(bake=bake, steps=[stage(100, wait=wait)])) == START + timedelta(hours=hours)


@pytest.mark.parametrize("state", list(RolloutState))
def test_which_states_stall(state: RolloutState) -> None:
    """Only a rollout that is being created or shifted can stall, by the time since its stage or newest measurement."""
    rollout, late = release(state=state), START + timedelta(hours=7)

    assert is_stalled(rollout, SIX_HOURS, late) == (state in (RolloutState.CREATING, RolloutState.SHIFTING))
    assert not is_stalled(rollout, SIX_HOURS, START + SIX_HOURS)
    assert not is_stalled(replace(rollout, measured_at=START + timedelta(hours=2)), SIX_HOURS, late)
