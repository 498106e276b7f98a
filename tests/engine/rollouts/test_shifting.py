"""Histories of stages that pass, wait or are aborted, by the requests that deployments answered."""

from datetime import timedelta

import pytest

from anew.core.rollouts.lifecycle import RolloutState
from anew.errors import AzureRefused, AzureUnavailable
from tests.builders import ENDPOINT, stage
from tests.engine.rollouts.releases import (
    ANALYSIS,
    CRASHING,
    FEW,
    GOOD,
    NEW,
    OLD,
    log_of,
    registered,
    staged,
    traffic,
    until,
    watched,
)


def test_mirrored_stage_moves_no_traffic() -> None:
    """A mirrored stage copies requests, and the next one mirrors nothing."""
    play = registered().with_policies(staged(steps=[stage(mirror=30, wait="1h"), stage(100)]))

    play.tick()
    play.tick()

    assert traffic(play) == {OLD: 100}
    assert play.azure.endpoints[ENDPOINT].mirror == {NEW: 30}
    play.tick(hours=2)
    assert (traffic(play), play.azure.endpoints[ENDPOINT].mirror) == ({NEW: 100}, {})


def test_healthy_version_goes_live() -> None:
    """A healthy version passes every stage and the bake."""
    play = watched(GOOD)
    assert (play.rollout.state, play.rollout.step) == (RolloutState.SHIFTING, 0)

    until(play, RolloutState.LIVE)

    assert traffic(play) == {NEW: 100}


def test_passed_stage_lasts_its_wait() -> None:
    """A stage that passes at once still lasts its `wait`."""
    play = watched(GOOD)

    play.tick(minutes=8)
    assert play.rollout.step == 0
    play.tick(minutes=3)

    assert play.rollout.step == 1


def test_crashing_version_gets_no_live_traffic() -> None:
    """A version that crashes on mirrored requests is aborted and deleted."""
    play = watched(CRASHING)

    until(play, RolloutState.ROLLED_BACK)

    assert traffic(play) == {OLD: 100}
    assert play.azure.endpoints[ENDPOINT].mirror == {}
    assert "error" in (play.rollout.reason or "")
    assert NEW not in play.azure.endpoints[ENDPOINT].deployments


def test_later_crash_returns_traffic() -> None:
    """A version that starts to crash loses its share, and that is recorded."""
    play = watched(GOOD)
    play.tick_until(lambda: traffic(play) == {OLD: 80, NEW: 20}, at_most=100)
    log_of(play).answers[NEW] = CRASHING

    until(play, RolloutState.ROLLED_BACK)

    assert traffic(play) == {OLD: 100}
    assert {each.model: each.percent for each in play.ledger.traffic()[-1].shares} == {"price:3": 100}


def test_failures_below_limit_are_reset() -> None:
    """A failed measurement within the limit is forgotten after one that passes."""
    play = watched(CRASHING)
    log_of(play).answers[NEW] = GOOD

    play.tick_until(lambda: play.rollout.step == 1, at_most=30)

    assert play.rollout.failures == 0


def test_few_requests_hold_stage() -> None:
    """A stage with too few requests waits for more."""
    play = watched(FEW)

    for _ in range(10):
        play.tick(minutes=10)

    assert (play.rollout.state, play.rollout.step) == (RolloutState.SHIFTING, 0)
    assert (play.rollout.reason or "").startswith("inconclusive: requests")


def test_inconclusive_stage_aborts() -> None:
    """A stage that is inconclusive for too long is aborted."""
    play = watched(FEW)

    for _ in range(20):
        play.tick(minutes=10)

    assert play.rollout.state is RolloutState.ROLLED_BACK
    assert "inconclusive for" in (play.rollout.reason or "")


@pytest.mark.parametrize("error", [AzureUnavailable("no answer"), AzureRefused("no such workspace")])
def test_unreadable_log_aborts(error: Exception) -> None:
    """A traffic log that cannot be read aborts the stage after `error_limit` attempts."""
    play = watched(GOOD)
    log_of(play).error = error

    play.tick()
    play.tick()
    assert (play.rollout.state, play.rollout.errors) == (RolloutState.SHIFTING, 2)
    play.tick()

    assert play.rollout.state is RolloutState.ROLLED_BACK


def test_measurements_keep_interval() -> None:
    """Measurements are at least `every` apart."""
    play = watched(GOOD, analysis=ANALYSIS | {"every": "5m"})
    before = len(log_of(play).asked)

    for _ in range(4):
        play.tick(minutes=1)

    assert len(log_of(play).asked) == before


def test_stage_counts_its_own_requests() -> None:
    """A stage is measured by the requests since it began."""
    play = watched(GOOD)
    play.tick_until(lambda: play.rollout.step == 1, at_most=30)
    began = play.rollout.state_since

    play.tick()

    assert log_of(play).asked[-1] == (frozenset({OLD, NEW}), began, play.now)


def test_plain_stage_waits_for_requests() -> None:
    """A stage without an analysis passes once it has its requests."""
    play = watched(FEW, analysis=None)
    play.tick(hours=1)
    assert play.rollout.step == 0
    log_of(play).answers[NEW] = GOOD

    play.tick()

    assert play.rollout.step == 1


def test_measurements_are_audited() -> None:
    """Every measurement is in the audit trail."""
    play = watched(FEW)
    play.tick()

    measured = [row for row in play.ledger.audit(play.rollout.id) if row.what == "measured"]

    assert len(measured) == play.rollout.measurements >= 2
    assert "inconclusive" in measured[-1].detail["reason"]
    assert measured[-1].at - measured[-2].at == timedelta(minutes=1)


def test_aborted_version_is_not_retried() -> None:
    """Reconciliation does not release a version again after it was rolled back."""
    play = watched(CRASHING)
    until(play, RolloutState.ROLLED_BACK)

    for _ in range(5):
        play.tick(hours=1)

    assert len(play.ledger.rollouts()) == 1
    assert traffic(play) == {OLD: 100}
