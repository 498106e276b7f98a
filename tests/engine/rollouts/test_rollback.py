"""Going back on demand: as soon as can be, once, and never to the version that was to be left."""

from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta

import pytest

from anew.core.rollouts.lifecycle import SERVING_ROLLOUT, Rollout, RolloutKind, RolloutState
from anew.core.rollouts.naming import deployment_name
from anew.engine.base.ports import DeploymentState, ModelVersion
from anew.engine.rollouts.advance import advance_rollouts
from anew.engine.rollouts.rollback import request_rollback
from anew.errors import InvalidRequest, NothingKnown
from tests.builders import ENDPOINT, MODEL, PRODUCTION, Play, deploy_rule, policy, registered_event, serve, stage

BAKES = deploy_rule(bake="6h")
WRITES = ("traffic", ENDPOINT)


def name(version: str) -> str:
    return deployment_name(MODEL, version)


def release(play: Play, version: str, *, until: Collection[RolloutState] = SERVING_ROLLOUT) -> Rollout:
    """Register a version for production, and let it come as far as that; the first of all is live at once."""
    play.azure.models[MODEL, version] = ModelVersion(MODEL, version, PRODUCTION, f"path-{version}")
    play.receive(registered_event(version, at=play.now))

    def arrived() -> bool:
        return any(each.version == version and each.state in until for each in play.ledger.rollouts())

    play.tick_until(arrived)
    return next(each for each in play.ledger.rollouts() if each.version == version)


def released(*versions: str, rule: dict[str, object] = BAKES) -> Play:
    """Each of these took all traffic, one after the other; the last one bakes, the others are live."""
    play = Play().with_policies(policy(deploy=[rule]))
    for version in versions:
        release(play, version)
        if version != versions[-1]:
            play.tick(hours=7)
    return play


def ask(play: Play, to: str | None = None, endpoint: str | None = None) -> Rollout:
    return request_rollback(play.engine, MODEL, "it misprices", play.now, to=to, endpoint=endpoint)


def finish(play: Play) -> None:
    play.tick_until(lambda: not [each for each in play.ledger.rollouts() if each.is_open and not_serving(each)])


def not_serving(rollout: Rollout) -> bool:
    return rollout.state is not RolloutState.BAKING


def traffic(play: Play, endpoint: str = ENDPOINT) -> dict[str, int]:
    return {name: share for name, share in play.azure.endpoints[endpoint].traffic.items() if share}


# --- how it goes back -------------------------------------------------------------------------------------


def test_rollout_under_way_is_given_up_and_the_old_version_keeps_all_traffic() -> None:
    play = released("1", rule=deploy_rule(bake="1h", steps=[stage(20, wait="1h"), stage(100)]))
    play.tick(hours=2)
    release(play, "2", until=[RolloutState.SHIFTING])
    assert traffic(play) == {name("1"): 80, name("2"): 20}

    given_up = ask(play)
    finish(play)

    assert (given_up.version, given_up.state) == ("2", RolloutState.ABORTING)
    ended = play.ledger.rollout(given_up.id)
    assert ended is not None
    assert (ended.state, ended.reason) == (RolloutState.ROLLED_BACK, "it misprices")
    assert traffic(play) == {name("1"): 100}


def test_version_that_bakes_is_left_in_one_write_as_the_old_one_is_warm() -> None:
    play = released("1", "2")
    before = play.azure.effects[WRITES]

    ask(play)
    play.tick()

    assert traffic(play) == {name("1"): 100}
    assert play.azure.effects[WRITES] == before + 1
    assert play.azure.effects["deployment", f"{ENDPOINT}/{name('1')}"] == 1, "not made again"


def test_live_version_is_left_in_one_write_when_the_old_deployment_is_still_there() -> None:
    play = released("1", "2")
    play.azure.refused.add("endpoints.delete_deployment")
    play.tick(hours=7)
    before = play.azure.effects[WRITES]

    rollback = ask(play)
    play.tick()

    assert (rollback.kind, rollback.version, rollback.state) == (RolloutKind.ROLLBACK, "1", RolloutState.PENDING)
    assert traffic(play) == {name("1"): 100}
    assert play.azure.effects[WRITES] == before + 1


def test_old_deployment_that_is_gone_is_made_first_and_then_takes_all_in_one_write() -> None:
    play = released("1", "2")
    play.tick(hours=7)
    assert name("1") not in play.azure.endpoints[ENDPOINT].deployments
    before = play.azure.effects[WRITES]

    ask(play)
    play.tick()
    assert traffic(play) == {name("2"): 100}, "nothing moves before it is ready"
    finish(play)

    assert traffic(play) == {name("1"): 100}
    assert play.azure.effects[WRITES] == before + 1
    assert play.azure.endpoints[ENDPOINT].deployments[name("1")].state is DeploymentState.READY


def test_version_is_named_and_comes_back_over_the_one_between() -> None:
    play = released("1", "2", "3")
    play.tick(hours=7)

    ask(play, to="1")
    finish(play)

    assert traffic(play) == {name("1"): 100}


def test_naming_the_version_before_the_one_that_bakes_is_the_same_as_naming_none() -> None:
    play = released("1", "2")

    assert ask(play, to="1").state is RolloutState.ABORTING


def test_naming_an_earlier_version_while_one_bakes_leaves_that_one_first() -> None:
    play = released("1", "2", "3")

    rollback = ask(play, to="1")
    finish(play)

    assert rollback.kind is RolloutKind.ROLLBACK
    assert traffic(play) == {name("1"): 100}
    [three] = [each for each in play.ledger.rollouts() if each.version == "3"]
    assert three.state is RolloutState.ROLLED_BACK


# --- asked for twice --------------------------------------------------------------------------------------


def test_asking_again_while_it_goes_back_changes_nothing() -> None:
    play = released("1", "2")
    play.tick(hours=7)

    first, again = ask(play), ask(play)
    advance_rollouts(play.engine, play.now)
    third = ask(play)

    assert first.id == again.id == third.id
    assert len(play.ledger.rollouts()) == 3


def test_asking_again_while_what_came_back_is_watched_changes_nothing() -> None:
    play = released("1", "2", "3")
    play.tick(hours=7)
    first = ask(play)
    finish(play)

    assert ask(play).id == first.id
    assert ask(play, to="2").id == first.id
    play.tick()
    assert traffic(play) == {name("2"): 100}


def test_asking_again_after_a_baking_version_was_left_changes_nothing_as_long_as_it_would_bake() -> None:
    play = released("1", "2", "3")
    first = ask(play)
    finish(play)

    assert ask(play).id == first.id
    play.tick()
    assert traffic(play) == {name("2"): 100}


def test_asking_once_more_later_goes_further_back_and_never_to_the_bad_version() -> None:
    play = released("1", "2", "3")
    ask(play)
    finish(play)
    play.tick(hours=7)

    ask(play)
    finish(play)

    assert traffic(play) == {name("1"): 100}


def test_another_version_named_while_a_rollback_waits_goes_instead_of_it() -> None:
    play = released("1", "2", "3")
    play.tick(hours=7)
    first = ask(play)

    ask(play, to="1")
    finish(play)

    given_up = play.ledger.rollout(first.id)
    assert given_up is not None
    assert given_up.state is RolloutState.FAILED
    assert traffic(play) == {name("1"): 100}


def test_another_version_named_while_one_goes_back_follows_and_is_not_opened_twice() -> None:
    play = released("1", "2", "3")
    ask(play)

    first, again = ask(play, to="1"), ask(play, to="1")
    finish(play)

    assert first.id == again.id
    assert traffic(play) == {name("1"): 100}


def test_another_version_named_while_a_rollback_bakes_goes_at_once_and_the_bad_one_never_comes_in() -> None:
    play = released("1", "2", "3")
    play.tick(hours=7)
    ask(play)
    finish(play)
    assert traffic(play) == {name("2"): 100}

    ask(play, to="1")
    seen = set[str]()
    for _ in range(5):
        play.tick()
        seen |= set(traffic(play))

    assert traffic(play) == {name("1"): 100}
    assert name("3") not in seen


def test_rollback_that_failed_can_be_asked_for_again() -> None:
    play = released("1", "2")
    play.tick(hours=7)
    play.azure.broken.add(f"{MODEL}:1")
    first = ask(play)
    finish(play)
    failed = play.ledger.rollout(first.id)
    assert failed is not None
    assert failed.state is RolloutState.FAILED
    assert traffic(play) == {name("2"): 100}

    play.azure.broken.clear()
    ask(play)
    finish(play)

    assert traffic(play) == {name("1"): 100}


def test_version_that_was_left_is_brought_in_again_though_what_serves_was_never_anews() -> None:
    play = Play().with_policies(policy(deploy=[BAKES]))
    serve(play.azure, "1")
    release(play, "2")
    ask(play)
    finish(play)
    assert traffic(play) == {name("1"): 100}
    assert ask(play).version == "2", "done already"

    ask(play, to="2")
    finish(play)

    assert traffic(play) == {name("2"): 100}


# --- what cannot be done ----------------------------------------------------------------------------------


@pytest.mark.parametrize("later", [timedelta(0), timedelta(hours=7)])
def test_first_version_is_not_taken_away_as_nobody_would_answer(later: timedelta) -> None:
    play = released("1")
    play.now += later
    play.tick()

    with pytest.raises(InvalidRequest, match="served before"):
        ask(play)

    play.tick()
    assert traffic(play) == {name("1"): 100}


def test_version_nobody_registered_is_refused_and_nothing_moves() -> None:
    play = released("1", "2")

    with pytest.raises(InvalidRequest, match="price:9 is not in the registry"):
        ask(play, to="9")

    play.tick()
    assert traffic(play) == {name("2"): 100}
    assert play.ledger.rollouts()[-1].state is RolloutState.BAKING


@pytest.mark.parametrize("hours", [0, 7])
def test_version_that_serves_is_refused(hours: int) -> None:
    play = released("1", "2")
    play.tick(hours=hours)

    with pytest.raises(InvalidRequest, match="price:2 serves on price-online already"):
        ask(play, to="2")


def test_model_that_anew_never_released_is_named() -> None:
    play = Play()
    serve(play.azure, "3")

    with pytest.raises(NothingKnown, match=MODEL):
        ask(play)


def test_another_model_that_served_there_before_is_nothing_to_go_back_to() -> None:
    play = Play().with_policies(policy(deploy=[BAKES]))
    serve(play.azure, "7", model="another")
    play.azure.models[MODEL, "7"] = ModelVersion(MODEL, "7", {}, "elsewhere")
    release(play, "1")
    play.tick(hours=7)

    with pytest.raises(InvalidRequest, match="served before"):
        ask(play)


def test_version_that_is_on_its_way_is_refused_as_one_to_go_back_to() -> None:
    play = released("1", "2", rule=deploy_rule(bake="0s"))
    play.azure.down.add("endpoints.create_deployment")
    release(play, "3", until=[RolloutState.CREATING])

    with pytest.raises(InvalidRequest, match="price:3 is creating"):
        ask(play, to="3")


def test_two_endpoints_are_told_apart_by_name() -> None:
    rules = [BAKES, deploy_rule("price-other", bake="6h")]
    play = Play().with_policies(policy(deploy=rules, deploy_by="all"))
    for version in ("1", "2"):
        release(play, version)
        play.tick()
        play.tick(hours=7)

    with pytest.raises(InvalidRequest, match="online/price-online, online/price-other") as refused:
        ask(play)
    assert "--endpoint" in refused.value.advice

    ask(play, endpoint="price-other")
    finish(play)
    assert traffic(play) == {name("2"): 100}
    assert traffic(play, "price-other") == {name("1"): 100}


def test_endpoint_may_be_named_with_its_kind() -> None:
    play = released("1", "2")

    assert ask(play, endpoint=f"online/{ENDPOINT}").state is RolloutState.ABORTING
    with pytest.raises(NothingKnown):
        request_rollback(play.engine, MODEL, "why", play.now, endpoint=f"batch/{ENDPOINT}")


def test_process_that_asks_is_the_actor_in_the_audit_trail() -> None:
    play = released("1", "2")
    play.engine = replace(play.engine, actor="ada")

    given_up = ask(play)

    row = play.ledger.audit(given_up.id)[-1]
    assert (row.what, row.actor, row.detail["reason"]) == ("abort", "ada", "it misprices")
