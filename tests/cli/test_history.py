"""`anew history` draws and tells which version served what, when, moved by whom and why; or answers for one moment."""

import io
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from rich.console import Console

from anew.cli import history as command
from anew.cli.history import history, picture
from anew.core.rollouts.lifecycle import RolloutState
from anew.core.rollouts.naming import deployment_name
from anew.engine.history.chain import Walk
from anew.errors import NothingKnown
from tests.builders import ENDPOINT, MODEL, START, Play, deploy_rule, drift_event, policy, serve, stage

SEEN = START + timedelta(minutes=1)


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Play:
    """3 served; drift trained 4, which took a fifth for an hour and then everything; the command's ledger is ours."""
    steps = [stage(20, wait="1h"), stage(100)]
    play = Play().with_policies(policy(deploy=[deploy_rule(steps=steps, bake="1h")]))
    serve(play.azure, "3")
    play.tick()
    play.receive(drift_event("first", at=play.now), drift_event("second", at=play.now))
    for _ in range(12):
        play.tick(minutes=15)
    assert play.rollout.state is RolloutState.LIVE
    monkeypatch.setattr(command, "load_settings", lambda: None)
    monkeypatch.setattr(command, "open_ledger", lambda _: play.ledger)
    return play


def shown(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


def test_change_names_its_causes(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    """Each change is shown with who made it, why and what caused it."""
    history(MODEL)

    said = shown(capsys)
    assert "price:3 80 %, price:4 20 %" in said
    assert "test: rollout of price:4: 20 %" in said
    chain = f"{play.rollout.id} < {play.retraining.id} < {play.retraining.decision_id} < event-first and 1 more"
    assert chain in said


def test_newest_change_is_last(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    """The newest change is last."""
    history(MODEL)

    said = shown(capsys)
    assert said.index("price:3 80 %, price:4 20 %") < said.index("price:4 100 %")


def test_outside_change_is_marked(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    """A change made outside anew is marked as such."""
    play.azure.endpoints[ENDPOINT].traffic = {deployment_name(MODEL, "4"): 0}
    play.tick()

    history(MODEL)

    assert shown(capsys).splitlines()[-2:] == [
        f"{play.now:%Y-%m-%d %H:%M:%S}Z  no traffic",
        f"{' ' * 22}somebody else: moved outside anew; seen by reconcile",
    ]


@pytest.mark.parametrize("zone", [None, UTC, timezone(timedelta(hours=2))])
def test_moment_in_any_time_zone(play: Play, zone: timezone | None, capsys: pytest.CaptureFixture[str]) -> None:
    """A moment is answered in any time zone."""
    shared = next(each for each in play.ledger.traffic() if len(each.shares) == 2)
    moment = shared.at + timedelta(minutes=5)
    at = moment.replace(tzinfo=None) if zone is None else moment.astimezone(zone)

    history(MODEL, at=at)

    said = shown(capsys).splitlines()
    assert said[0] == f"online/{ENDPOINT} at {moment:%Y-%m-%d %H:%M:%S}Z"
    assert said[1] == "  price:3 80 %, price:4 20 %"
    assert said[2].startswith(f"  since {shared.at:%Y-%m-%d %H:%M:%S}Z, until ")
    assert said[-1].startswith(f"  {play.rollout.id} < ")


def test_current_traffic_is_marked(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    """Traffic that has not changed since is marked as current."""
    history(MODEL, at=play.now)

    assert "and still does" in shown(capsys)


def test_moment_before_first_change(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    """For a moment before the first change the output says that nothing is known."""
    history(MODEL, at=START)

    assert f"anew knows nothing from before {SEEN:%Y-%m-%d %H:%M:%S}Z" in shown(capsys)


def test_json_has_periods_and_causes(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    """The JSON has the periods with what caused them."""
    history(MODEL, json=True)

    [endpoint] = json.loads(shown(capsys))["endpoints"]
    first, shared, full = endpoint["periods"]
    assert (endpoint["endpoint"], first["rollout"]) == (f"online/{ENDPOINT}", None)
    assert [share["percent"] for share in shared["shares"]] == [80, 20]
    assert (shared["rollout"], shared["decision"]) == (play.rollout.id, play.retraining.decision_id)
    assert shared["events"] == ["event-first", "event-second"]
    assert (shared["until"], full["until"]) == (full["since"], None)


def test_json_of_a_moment(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    """The JSON of a moment says whether anything is known."""
    history(MODEL, at=START, json=True)
    [before] = json.loads(shown(capsys))["endpoints"]
    history(MODEL, at=play.now, json=True)
    [now] = json.loads(shown(capsys))["endpoints"]

    assert (before["known"], "shares" in before) == (False, False)
    assert (now["known"], now["shares"][0]["model"]) == (True, "price:4")


def test_limit_names_the_rest(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    """A limit shows fewer changes and names the rest."""
    history(MODEL, limit=1)

    said = shown(capsys)
    assert "price:3" not in said
    assert "and 2 earlier changes: --limit 3" in said


def test_unknown_model_is_named(play: Play) -> None:
    """A model without traffic is an error that names it."""
    with pytest.raises(NothingKnown, match="another"):
        history("another")


def drawn(play: Play, *, width: int = 60, encoding: str = "utf-8") -> list[str]:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=stream, width=width, force_terminal=False)
    [endpoint] = Walk(play.ledger).endpoints(MODEL)
    return [line.plain for line in picture(console, endpoint.line, play.now)]


def test_picture_has_a_band_per_version(play: Play) -> None:
    """The picture has a named band for each version and fits the terminal."""
    three, four, axis = drawn(play)

    assert three.startswith("price:3  █")
    assert three.endswith(" ")
    assert four.startswith("price:4   ")
    assert four.endswith("█")
    assert "▂" in four
    assert {len(three), len(four), len(axis)} == {60}
    assert axis.strip().startswith(f"{SEEN:%Y-%m-%d %H:%M:%S}Z")


def test_picture_falls_back_to_ascii(play: Play) -> None:
    """Without Unicode the picture is ASCII."""
    assert all(line.isascii() for line in drawn(play, encoding="ascii"))
    assert drawn(play, encoding="ascii")[1].endswith("#")


def test_terminal_escapes_are_removed(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    """Terminal escapes in names from Azure are removed."""
    evil = play.azure.endpoints[ENDPOINT].deployments[deployment_name(MODEL, "4")]
    evil.model = "price:\x1b[31m4[bold]"
    play.tick()

    history(MODEL)

    assert "\x1b" not in shown(capsys)


def test_moment_without_zone_is_utc() -> None:
    """A moment without a time zone is UTC."""
    from anew.cli.output import utc

    assert utc(datetime(2026, 7, 14, 12)) == START  # noqa: DTZ001 - a moment without an offset
    assert utc(START.astimezone(timezone(timedelta(hours=2)))) == START
