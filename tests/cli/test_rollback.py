"""`anew rollback` brings the version before back, says from what to what, and says when it could not yet."""

import json

import pytest

from anew import wiring
from anew.cli import rollback as command
from anew.cli.rollback import rollback
from anew.core.rollouts.lifecycle import RolloutState
from anew.core.rollouts.naming import deployment_name
from anew.engine.base.ports import ModelVersion
from anew.errors import InvalidRequest, NothingKnown
from tests.builders import ENDPOINT, MODEL, PRODUCTION, Play, deploy_rule, policy, registered_event, stage

STEPS = [stage(20, wait="1h"), stage(100)]


def bring(play: Play, version: str, until: RolloutState) -> None:
    play.azure.models[MODEL, version] = ModelVersion(MODEL, version, PRODUCTION, f"path-{version}")
    play.receive(registered_event(version, at=play.now))

    on_to(play, until)


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Play:
    """1 is live, and 2 takes a fifth of the traffic; the command's engine and clock are the history's."""
    play = Play().with_policies(policy(deploy=[deploy_rule(steps=STEPS, bake="1h")]))
    bring(play, "1", RolloutState.LIVE)
    bring(play, "2", RolloutState.SHIFTING)
    monkeypatch.setattr(wiring, "build_engine", lambda *_: play.engine)
    monkeypatch.setattr(command, "_POLL", 0.0)
    monkeypatch.setattr(command, "_now", lambda: play.now)
    return play


def on_to(play: Play, state: RolloutState) -> None:
    """Let the newest rollout come as far as that."""
    for _ in range(20):
        newest = play.ledger.rollouts()[-1:]
        if newest and newest[0].state is state:
            return
        play.tick(minutes=20)
    raise AssertionError(f"never {state}")


def traffic(play: Play) -> dict[str, int]:
    return {name: share for name, share in play.azure.endpoints[ENDPOINT].traffic.items() if share}


def test_rollout_under_way_is_given_up(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    assert rollback(MODEL, reason="it misprices") == 0

    said = capsys.readouterr().out
    assert "from price:1 80 %, price:2 20 % to price:1 100 %, in 1 traffic write" in said
    assert said.endswith(f"See: anew history {MODEL}\n")
    assert traffic(play) == {deployment_name(MODEL, "1"): 100}


def test_who_and_why_are_in_the_history(play: Play) -> None:
    rollback(MODEL, reason="it misprices")

    [newest] = play.ledger.traffic(f"online/{ENDPOINT}", limit=1)
    assert newest.reason.startswith("back: it misprices (")


@pytest.mark.parametrize("to", [None, "1"])
def test_version_that_bakes_is_left(play: Play, to: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    on_to(play, RolloutState.BAKING)

    assert rollback(MODEL, to=to) == 0

    assert "from price:2 100 % to price:1 100 %, in 1 traffic write" in capsys.readouterr().out


def test_asking_again_says_that_it_is_done(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    on_to(play, RolloutState.BAKING)
    rollback(MODEL)

    assert rollback(MODEL) == 0

    said = capsys.readouterr().out.splitlines()[-2]
    assert said.startswith("Nothing to do: online/price-online serves price:1 100 %")
    assert "--to VERSION" in said


def test_deployment_that_takes_its_time_is_said_and_left_to_reconcile(
    play: Play, capsys: pytest.CaptureFixture[str]
) -> None:
    on_to(play, RolloutState.LIVE)

    assert rollback(MODEL, wait=0) == 1

    said = capsys.readouterr().out
    assert "is creating" in said
    assert "reconcile continues. It serves: price:2 100 %." in said
    play.tick()
    play.tick()
    assert traffic(play) == {deployment_name(MODEL, "1"): 100}


def test_azure_that_is_down_is_named(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    on_to(play, RolloutState.LIVE)
    play.azure.down.add("endpoints.create_deployment")

    assert rollback(MODEL, wait=0) == 1

    assert "endpoints.create_deployment" in capsys.readouterr().out


def test_rollback_that_fails_says_why_and_what_serves(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    on_to(play, RolloutState.LIVE)
    play.azure.refused.add("endpoints.create_deployment")

    assert rollback(MODEL) == 1

    said = capsys.readouterr().out
    assert "is failed: refused: " in said
    assert "It serves: price:2 100 %." in said
    assert "reconcile continues" not in said


def test_version_given_up_before_it_took_any_traffic_is_said_so(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    on_to(play, RolloutState.LIVE)
    bring(play, "3", RolloutState.CREATING)

    assert rollback(MODEL) == 0

    assert "price:3 was aborted before it took any traffic; online/price-online serves price:2 100 %" in (
        capsys.readouterr().out
    )


def test_json_says_the_same_for_machines(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    rollback(MODEL, json=True)

    said = json.loads(capsys.readouterr().out)
    assert (said["state"], said["serves"], said["to"]) == ("rolled-back", True, "price:1 100 %")
    assert (said["from"], said["traffic_writes"]) == ("price:1 80 %, price:2 20 %", 1)


def test_version_nobody_registered_is_bad_input(play: Play) -> None:
    with pytest.raises(InvalidRequest, match="price:9"):
        rollback(MODEL, to="9")


def test_model_that_is_not_known_is_named(play: Play) -> None:
    with pytest.raises(NothingKnown, match="another"):
        rollback("another")
