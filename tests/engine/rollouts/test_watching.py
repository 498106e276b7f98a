"""Histories of rollouts whose stages are passed, held or sent back by what deployments answered."""

from datetime import timedelta
from typing import Any, cast

import pytest

from anew.core.rollouts.lifecycle import RolloutState
from anew.core.rollouts.traffic import RequestStats
from anew.errors import AzureRefused, AzureUnavailable
from tests.builders import ENDPOINT, Play, ScriptedTraffic, stage
from tests.engine.rollouts.releases import NEW, OLD, registered, staged, traffic

FAST = {50.0: 1000}
GOOD = RequestStats(requests=1000, errors=1, latencies=FAST)
FEW = RequestStats(requests=20, errors=0, latencies={50.0: 20})
CRASHING = RequestStats(requests=1000, errors=200, latencies=FAST)
ANALYSIS = {"every": "1m", "failure_limit": 1, "error_limit": 2, "inconclusive_for": "3h"}
STEPS = [stage(mirror=20, wait="10m", min_requests=100), stage(20, wait="10m", min_requests=100), stage(100)]


def log_of(play: Play) -> ScriptedTraffic:
    return cast(ScriptedTraffic, play.engine.traffic_log)


def watched(new: RequestStats, old: RequestStats = GOOD, **changes: Any) -> Play:
    """The new version is on its first stage, mirrored; from here on deployments answer like this."""
    play = registered().with_policies(staged(**({"steps": STEPS, "analysis": ANALYSIS, "bake": "1h"} | changes)))
    log_of(play).answers = {NEW: new, OLD: old}
    play.tick()
    play.tick()
    return play


def until(play: Play, state: RolloutState) -> None:
    play.tick_until(lambda: play.rollout.state is state, at_most=300)


def test_healthy_version_passes_every_stage_and_the_bake() -> None:
    play = watched(GOOD)
    assert (play.rollout.state, play.rollout.step) == (RolloutState.SHIFTING, 0)

    until(play, RolloutState.LIVE)

    assert traffic(play) == {NEW: 100}


def test_stage_that_passes_lasts_its_least_time_all_the_same() -> None:
    play = watched(GOOD)

    play.tick(minutes=8)
    assert play.rollout.step == 0
    play.tick(minutes=3)

    assert play.rollout.step == 1


def test_crashing_version_goes_back_before_it_takes_live_traffic() -> None:
    play = watched(CRASHING)

    until(play, RolloutState.ROLLED_BACK)

    assert traffic(play) == {OLD: 100}
    assert play.azure.endpoints[ENDPOINT].mirror == {}
    assert "error" in (play.rollout.reason or "")
    assert NEW not in play.azure.endpoints[ENDPOINT].deployments


def test_version_that_starts_to_crash_gives_its_live_share_back() -> None:
    play = watched(GOOD)
    play.tick_until(lambda: traffic(play) == {OLD: 80, NEW: 20}, at_most=100)
    log_of(play).answers[NEW] = CRASHING

    until(play, RolloutState.ROLLED_BACK)

    assert traffic(play) == {OLD: 100}
    assert {each.model: each.percent for each in play.ledger.traffic()[-1].shares} == {"price:3": 100}


def test_failed_looks_up_to_the_limit_are_borne() -> None:
    play = watched(CRASHING)
    log_of(play).answers[NEW] = GOOD

    play.tick_until(lambda: play.rollout.step == 1, at_most=30)

    assert play.rollout.failures == 0


def test_stage_with_too_few_requests_is_held() -> None:
    play = watched(FEW)

    for _ in range(10):
        play.tick(minutes=10)

    assert (play.rollout.state, play.rollout.step) == (RolloutState.SHIFTING, 0)
    assert (play.rollout.reason or "").startswith("hold")


def test_stage_held_for_too_long_goes_back() -> None:
    play = watched(FEW)

    for _ in range(20):
        play.tick(minutes=10)

    assert play.rollout.state is RolloutState.ROLLED_BACK
    assert "inconclusive for" in (play.rollout.reason or "")


@pytest.mark.parametrize("error", [AzureUnavailable("no answer"), AzureRefused("no such workspace")])
def test_log_that_cannot_be_read_holds_the_stage_and_then_sends_it_back(error: Exception) -> None:
    play = watched(GOOD)
    log_of(play).error = error

    play.tick()
    play.tick()
    assert (play.rollout.state, play.rollout.errors) == (RolloutState.SHIFTING, 2)
    play.tick()

    assert play.rollout.state is RolloutState.ROLLED_BACK


def test_looks_are_made_no_more_often_than_the_policy_says() -> None:
    play = watched(GOOD, analysis=ANALYSIS | {"every": "5m"})
    before = len(log_of(play).asked)

    for _ in range(4):
        play.tick(minutes=1)

    assert len(log_of(play).asked) == before


def test_stage_is_judged_by_what_was_answered_since_it_began() -> None:
    play = watched(GOOD)
    play.tick_until(lambda: play.rollout.step == 1, at_most=30)
    began = play.rollout.state_since

    play.tick()

    assert log_of(play).asked[-1] == (frozenset({OLD, NEW}), began, play.now)


def bakes(new: RequestStats = GOOD, **changes: Any) -> Play:
    play = watched(GOOD, **changes)
    until(play, RolloutState.BAKING)
    log_of(play).answers[NEW] = new
    return play


def test_version_that_fails_its_bake_goes_back_in_one_write_to_the_deployment_that_stayed_warm() -> None:
    play = bakes(CRASHING)
    writes = play.azure.effects["traffic", ENDPOINT]

    until(play, RolloutState.ROLLED_BACK)

    assert traffic(play) == {OLD: 100}
    assert play.azure.effects["traffic", ENDPOINT] == writes + 1
    assert "failed its bake" in (play.rollout.reason or "")
    stages = {version: play.azure.models["price", version].tags["anew_stage"] for version in ("3", "4")}
    assert stages == {"3": "production", "4": "rolled-back"}


def test_bake_is_compared_with_what_the_old_version_answered_before_it_lost_its_traffic() -> None:
    play = bakes()
    began = play.rollout.state_since

    play.tick(minutes=5)

    assert log_of(play).asked[-1] == (frozenset({OLD}), play.rollout.created_at, began)


def test_bake_in_which_few_ask_ends_all_the_same() -> None:
    play = bakes(FEW)

    play.tick(minutes=30)
    assert play.rollout.state is RolloutState.BAKING
    play.tick(minutes=40)

    assert play.rollout.state is RolloutState.LIVE


def test_log_that_cannot_be_read_takes_no_traffic_from_a_version_that_serves() -> None:
    play = bakes()
    log_of(play).error = AzureUnavailable("no answer")

    for _ in range(10):
        play.tick()
    assert play.rollout.state is RolloutState.BAKING
    play.tick(hours=2)

    assert play.rollout.state is RolloutState.LIVE


def test_version_that_was_sent_back_is_not_tried_again_by_reconciliation() -> None:
    play = watched(CRASHING)
    until(play, RolloutState.ROLLED_BACK)

    for _ in range(5):
        play.tick(hours=1)

    assert len(play.ledger.rollouts()) == 1
    assert traffic(play) == {OLD: 100}


def test_stage_without_analysis_waits_for_its_requests() -> None:
    play = watched(FEW, analysis=None)
    play.tick(hours=1)
    assert play.rollout.step == 0
    log_of(play).answers[NEW] = GOOD

    play.tick()

    assert play.rollout.step == 1


def test_people_are_told_once_of_each_end() -> None:
    play = watched(GOOD)
    until(play, RolloutState.LIVE)
    play.tick(minutes=5)

    told = [news.kind for news in cast(Any, play.engine.notifier).sent if news.kind.startswith("rollout")]

    assert told == ["rollout.baking", "rollout.live"]


def test_every_look_is_kept_in_the_trail() -> None:
    play = watched(FEW)
    play.tick()

    looks = [row for row in play.ledger.audit(play.rollout.id) if row.what == "measured"]

    assert len(looks) == play.rollout.measurements >= 2
    assert "hold" in looks[-1].detail["reason"]
    assert looks[-1].at - looks[-2].at == timedelta(minutes=1)
