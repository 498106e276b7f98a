"""Rollbacks on request: at once, only once, and never to the version that was left."""

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
    """Register a version for production, and advance until its rollout is in one of these states."""
    play.azure.models[MODEL, version] = ModelVersion(MODEL, version, PRODUCTION, f"path-{version}")
    play.receive(registered_event(version, at=play.now))

    def arrived() -> bool:
        return any(each.version == version and each.state in until for each in play.ledger.rollouts())

    play.tick_until(arrived)
    return next(each for each in play.ledger.rollouts() if each.version == version)


def released(*versions: str, rule: dict[str, object] = BAKES) -> Play:
    """A history in which each of these got all traffic in turn; the last one bakes, the others are live."""
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


# --- how it is done ---------------------------------------------------------------------------------------


def test_rollout_under_way_is_aborted() -> None:
    """A rollout that has a share is aborted, and the old version gets all traffic."""
    play = released("1", rule=deploy_rule(bake="1h", steps=[stage(20, wait="1h"), stage(100)]))
    play.tick(hours=2)
    release(play, "2", until=[RolloutState.SHIFTING])
    assert traffic(play) == {name("1"): 80, name("2"): 20}

    aborted = ask(play)
    finish(play)

    assert (aborted.version, aborted.state) == ("2", RolloutState.ABORTING)
    ended = play.ledger.rollout(aborted.id)
    assert ended is not None
    assert (ended.state, ended.reason) == (RolloutState.ROLLED_BACK, "it misprices")
    assert traffic(play) == {name("1"): 100}


def test_baking_version_is_left_in_one_write() -> None:
    """A version that bakes is left in one write, for the old deployment still exists."""
    play = released("1", "2")
    before = play.azure.effects[WRITES]

    ask(play)
    play.tick()

    assert traffic(play) == {name("1"): 100}
    assert play.azure.effects[WRITES] == before + 1
    assert play.azure.effects["deployment", f"{ENDPOINT}/{name('1')}"] == 1, "not made again"


def test_live_version_is_left_in_one_write() -> None:
    """A live version is left in one write when the old deployment still exists."""
    play = released("1", "2")
    play.azure.refused.add("endpoints.delete_deployment")
    play.tick(hours=7)
    before = play.azure.effects[WRITES]

    rollback = ask(play)
    play.tick()

    assert (rollback.kind, rollback.version, rollback.state) == (RolloutKind.ROLLBACK, "1", RolloutState.PENDING)
    assert traffic(play) == {name("1"): 100}
    assert play.azure.effects[WRITES] == before + 1


def test_missing_deployment_is_created_first() -> None:
    """An old deployment that is gone is created before one write gives it all traffic."""
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


def test_named_version_comes_back() -> None:
    """A named version is brought back, though another served in between."""
    play = released("1", "2", "3")
    play.tick(hours=7)

    ask(play, to="1")
    finish(play)

    assert traffic(play) == {name("1"): 100}


def test_naming_version_before_aborts() -> None:
    """Naming the version before a baking one is the same as naming none."""
    play = released("1", "2")

    assert ask(play, to="1").state is RolloutState.ABORTING


def test_naming_earlier_version_ends_bake() -> None:
    """Naming an earlier version first ends the rollout that bakes."""
    play = released("1", "2", "3")

    rollback = ask(play, to="1")
    finish(play)

    assert rollback.kind is RolloutKind.ROLLBACK
    assert traffic(play) == {name("1"): 100}
    [three] = [each for each in play.ledger.rollouts() if each.version == "3"]
    assert three.state is RolloutState.ROLLED_BACK


# --- repeated requests ------------------------------------------------------------------------------------


def test_repeat_while_under_way() -> None:
    """A repeated request changes nothing while the rollback is under way."""
    play = released("1", "2")
    play.tick(hours=7)

    first, again = ask(play), ask(play)
    advance_rollouts(play.engine, play.now)
    third = ask(play)

    assert first.id == again.id == third.id
    assert len(play.ledger.rollouts()) == 3


def test_repeat_while_baking() -> None:
    """A repeated request changes nothing while the version that returned bakes."""
    play = released("1", "2", "3")
    play.tick(hours=7)
    first = ask(play)
    finish(play)

    assert ask(play).id == first.id
    assert ask(play, to="2").id == first.id
    play.tick()
    assert traffic(play) == {name("2"): 100}


def test_repeat_after_abort() -> None:
    """A repeated request changes nothing for as long as a rollback would bake."""
    play = released("1", "2", "3")
    first = ask(play)
    finish(play)

    assert ask(play).id == first.id
    play.tick()
    assert traffic(play) == {name("2"): 100}


def test_later_request_goes_further_back() -> None:
    """A later request goes further back, never to the version that was left."""
    play = released("1", "2", "3")
    ask(play)
    finish(play)
    play.tick(hours=7)

    ask(play)
    finish(play)

    assert traffic(play) == {name("1"): 100}


def test_named_version_replaces_waiting() -> None:
    """Another named version replaces a rollback that waits."""
    play = released("1", "2", "3")
    play.tick(hours=7)
    first = ask(play)

    ask(play, to="1")
    finish(play)

    aborted = play.ledger.rollout(first.id)
    assert aborted is not None
    assert aborted.state is RolloutState.FAILED
    assert traffic(play) == {name("1"): 100}


def test_named_version_follows_abort() -> None:
    """Another named version follows a rollout that is being aborted, and is opened once."""
    play = released("1", "2", "3")
    ask(play)

    first, again = ask(play, to="1"), ask(play, to="1")
    finish(play)

    assert first.id == again.id
    assert traffic(play) == {name("1"): 100}


def test_named_version_replaces_baking() -> None:
    """Another named version replaces a rollback that bakes, without the bad version in between."""
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


def test_failed_rollback_is_repeatable() -> None:
    """A rollback that failed can be requested again."""
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


def test_left_version_returns() -> None:
    """A version that was left is brought back, though anew never released the one that serves."""
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


# --- refused requests ------------------------------------------------------------------------------------


@pytest.mark.parametrize("later", [timedelta(0), timedelta(hours=7)])
def test_first_version_is_not_removed(later: timedelta) -> None:
    """The first version is not removed, so that the endpoint keeps one."""
    play = released("1")
    play.now += later
    play.tick()

    with pytest.raises(InvalidRequest, match="served before"):
        ask(play)

    play.tick()
    assert traffic(play) == {name("1"): 100}


def test_unregistered_version_is_refused() -> None:
    """A version that is not in the registry is refused, and nothing moves."""
    play = released("1", "2")

    with pytest.raises(InvalidRequest, match="price:9 is not in the registry"):
        ask(play, to="9")

    play.tick()
    assert traffic(play) == {name("2"): 100}
    assert play.ledger.rollouts()[-1].state is RolloutState.BAKING


@pytest.mark.parametrize("hours", [0, 7])
def test_serving_version_is_refused(hours: int) -> None:
    """The version that serves is refused."""
    play = released("1", "2")
    play.tick(hours=hours)

    with pytest.raises(InvalidRequest, match="price:2 serves on price-online already"):
        ask(play, to="2")


def test_unknown_model_is_named() -> None:
    """The error names a model that anew never released."""
    play = Play()
    serve(play.azure, "3")

    with pytest.raises(NothingKnown, match=MODEL):
        ask(play)


def test_other_model_is_not_brought_back() -> None:
    """A version of another model that served before is not brought back."""
    play = Play().with_policies(policy(deploy=[BAKES]))
    serve(play.azure, "7", model="another")
    play.azure.models[MODEL, "7"] = ModelVersion(MODEL, "7", {}, "elsewhere")
    release(play, "1")
    play.tick(hours=7)

    with pytest.raises(InvalidRequest, match="served before"):
        ask(play)


def test_version_being_created_is_refused() -> None:
    """A version that is being released is refused."""
    play = released("1", "2", rule=deploy_rule(bake="0s"))
    play.azure.down.add("endpoints.create_deployment")
    release(play, "3", until=[RolloutState.CREATING])

    with pytest.raises(InvalidRequest, match="price:3 is creating"):
        ask(play, to="3")


def test_endpoint_is_named() -> None:
    """A model at two endpoints needs one to be named."""
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


def test_endpoint_is_named_with_kind() -> None:
    """An endpoint may be named with its kind."""
    play = released("1", "2")

    assert ask(play, endpoint=f"online/{ENDPOINT}").state is RolloutState.ABORTING
    with pytest.raises(NothingKnown):
        request_rollback(play.engine, MODEL, "why", play.now, endpoint=f"batch/{ENDPOINT}")


def test_requester_is_audited() -> None:
    """The audit trail names who requested the rollback, and why."""
    play = released("1", "2")
    play.engine = replace(play.engine, actor="ada")

    aborted = ask(play)

    row = play.ledger.audit(aborted.id)[-1]
    assert (row.what, row.actor, row.detail["reason"]) == ("abort", "ada", "it misprices")
