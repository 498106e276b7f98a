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


def test_open_rollout_is_rolled_back(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    """A rollout under way is rolled back with one write of traffic."""
    assert rollback(MODEL, reason="it misprices") == 0

    said = capsys.readouterr().out
    assert "from price:1 80 %, price:2 20 % to price:1 100 %, in 1 traffic write" in said
    assert said.endswith(f"See: anew history {MODEL}\n")
    assert traffic(play) == {deployment_name(MODEL, "1"): 100}


def test_reason_is_in_history(play: Play) -> None:
    """The reason and the user are in the history of traffic."""
    rollback(MODEL, reason="it misprices")

    [newest] = play.ledger.traffic(f"online/{ENDPOINT}", limit=1)
    assert newest.reason.startswith("back: it misprices (")


@pytest.mark.parametrize("to", [None, "1"])
def test_baking_version_is_rolled_back(play: Play, to: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    """A version that bakes is rolled back, with and without `--to`."""
    on_to(play, RolloutState.BAKING)

    assert rollback(MODEL, to=to) == 0

    assert "from price:2 100 % to price:1 100 %, in 1 traffic write" in capsys.readouterr().out


def test_repeated_rollback_does_nothing(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    """A repeated rollback says that there is nothing to do."""
    on_to(play, RolloutState.BAKING)
    rollback(MODEL)

    assert rollback(MODEL) == 0

    said = capsys.readouterr().out.splitlines()[-2]
    assert said.startswith("Nothing to do: online/price-online serves price:1 100 %")
    assert "--to VERSION" in said


def test_slow_rollback_is_reported(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    """A rollback that takes too long is reported and continued by reconcile."""
    on_to(play, RolloutState.LIVE)

    assert rollback(MODEL, wait=0) == 1

    said = capsys.readouterr().out
    assert "is creating" in said
    assert "reconcile continues. It serves: price:2 100 %." in said
    play.tick()
    play.tick()
    assert traffic(play) == {deployment_name(MODEL, "1"): 100}


def test_unavailable_azure_is_named(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    """The call that fails while Azure is down is named."""
    on_to(play, RolloutState.LIVE)
    play.azure.down.add("endpoints.create_deployment")

    assert rollback(MODEL, wait=0) == 1

    assert "endpoints.create_deployment" in capsys.readouterr().out


def test_failed_rollback_names_serving_version(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    """A failed rollback says why and which version serves."""
    on_to(play, RolloutState.LIVE)
    play.azure.refused.add("endpoints.create_deployment")

    assert rollback(MODEL) == 1

    said = capsys.readouterr().out
    assert "is failed: refused: " in said
    assert "It serves: price:2 100 %." in said
    assert "reconcile continues" not in said


def test_abort_before_any_traffic(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    """A version rolled back before it took traffic is reported as aborted."""
    on_to(play, RolloutState.LIVE)
    bring(play, "3", RolloutState.CREATING)

    assert rollback(MODEL) == 0

    assert "price:3 was aborted before it took any traffic; online/price-online serves price:2 100 %" in (
        capsys.readouterr().out
    )


def test_json_output(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    """The JSON names the state, both traffic splits and the number of writes."""
    rollback(MODEL, json=True)

    said = json.loads(capsys.readouterr().out)
    assert (said["state"], said["serves"], said["to"]) == ("rolled-back", True, "price:1 100 %")
    assert (said["from"], said["traffic_writes"]) == ("price:1 80 %, price:2 20 %", 1)


def test_unknown_version_is_refused(play: Play) -> None:
    """A version that is not registered is refused."""
    with pytest.raises(InvalidRequest, match="price:9"):
        rollback(MODEL, to="9")


def test_unknown_model_is_named(play: Play) -> None:
    """An unknown model is an error that names it."""
    with pytest.raises(NothingKnown, match="another"):
        rollback("another")
