"""`anew events`: what it lists and shows, and that getting back what was missed may be repeated."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from anew.adapters.ledger import SqlLedger
from anew.cli import app
from anew.cli.events import recover
from anew.cli.events.listing import state_of
from anew.cli.events.recover import show_replayed, take_in
from anew.core.events.event import Cause, Rejected
from anew.engine.base.ledger import InboxEntry, Source
from anew.engine.inbox.intake import dead_letter, receive
from anew.engine.inbox.redrive import missed_between
from anew.errors import InvalidRequest, NothingKnown
from tests.builders import START, Play, drift_event
from tests.contract.rows import record, retraining
from tests.event_data import NOW, OTHER_WORKSPACE, WORKSPACE, drift, load, registered, run_status

Say = Callable[..., str]
RIGHT = [WORKSPACE.subscription_id, WORKSPACE.resource_group, WORKSPACE.name]


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SqlLedger:
    """The ledger of the settings in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ANEW_SETTINGS", raising=False)
    monkeypatch.setenv("COLUMNS", "400")
    names = ("subscription_id", "resource_group", "workspace")
    azure = "\n".join(f'{name} = "{value}"' for name, value in zip(names, RIGHT, strict=True))
    (tmp_path / "anew.toml").write_text(f'ledger = "sqlite:///ledger.db"\n[azure]\n{azure}\n')
    return SqlLedger.open("sqlite:///ledger.db")


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """What a command prints, and by `exits` how it ends."""

    def run(*words: str, exits: int | None = None) -> str:
        assert app(["events", *words]) == exits
        return capsys.readouterr().out

    return run


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def put_letter(ledger: SqlLedger, raw: Any) -> str:
    """Keep this as a dead letter, as a version would that could not read it; returns its id."""
    letter = dead_letter(Rejected("id is missing", raw), Source.WEBHOOK, NOW)
    ledger.receive([], Source.WEBHOOK, NOW, dead=[letter])
    return letter.id


def raw_drift(name: str = "lost") -> dict[str, Any]:
    [raw] = load("drift.grid.batch.json")
    return raw | {"id": name, "data": raw["data"] | {"runId": name}}


# --- list -------------------------------------------------------------------------------------------------


def test_list_shows_subject_and_state(ledger: SqlLedger, say: Say) -> None:
    """The list shows what each event is about and its state."""
    receive(ledger, [drift("a"), run_status("r", "Running", Cause.RUN_PROGRESS)], NOW)
    receive(ledger, [registered()], NOW + timedelta(seconds=1))
    letter = put_letter(ledger, {"eventType": "a.b.Kind", "subject": "runs/[x]"})
    ledger.lease({Cause.MODEL_REGISTERED}, datetime.now(tz=NOW.tzinfo), timedelta(hours=1))

    head, first, its_state, *rest, more = say("list").splitlines()

    assert (head.split(), more) == (["received", "id", "event"], "More: anew events show ID")
    assert first.split()[2:] == ["event-credit-3", "ModelRegistered", "credit:3", "(webhook,", "1", "delivery)"]
    assert its_state.split()[:2] == ["leased", "until"]
    text = "\n".join(rest)
    assert "DatasetDriftDetected monitor (webhook, 1 delivery)" in text
    assert "waiting since 2026-07-14 04:00:00Z" in text
    assert "settled: Nothing to do: the run has not ended." in text
    assert f"{letter} Kind runs/[x] (webhook, 1 delivery)" in " ".join(text.split())
    assert "dead: id is missing" in text


def test_list_filters_waiting_and_dead(ledger: SqlLedger, say: Say) -> None:
    """The list may show only waiting events or only dead letters."""
    receive(ledger, [drift("a"), run_status("r", "Running", Cause.RUN_PROGRESS)], NOW)
    letter = put_letter(ledger, {})

    [waits] = lines(say("list", "--waiting", "--json"))
    [dead] = lines(say("list", "--dead", "--json"))

    assert (waits["id"], waits["state"], waits["deliveries"]) == ("event-a", "waiting since 2026-07-14 04:00:00Z", 1)
    assert (dead["id"], dead["reason"], dead["raw"]) == (letter, "id is missing", {})


def test_limited_list_keeps_the_newest(ledger: SqlLedger, say: Say) -> None:
    """A limited list keeps the newest events and dead letters."""
    receive(ledger, [drift("new")], NOW + timedelta(minutes=2))
    receive(ledger, [drift("old")], NOW - timedelta(minutes=2))
    letter = put_letter(ledger, {})

    assert [item["id"] for item in lines(say("list", "--limit", "2", "--json"))] == ["event-new", letter]


def test_list_counts_ignored_events(ledger: SqlLedger, say: Say) -> None:
    """The list of ignored events counts them."""
    ledger.receive([], Source.WEBHOOK, NOW, ignored=[("a.Kind", "unknown type")] * 3)

    [told] = lines(say("list", "--ignored", "--json"))

    assert (told["type"], told["reason"], told["count"]) == ("a.Kind", "unknown type", 3)
    assert "unknown type" in say("list", "--ignored")


def test_list_takes_one_filter(ledger: SqlLedger) -> None:
    """The list accepts only one filter at a time."""
    with pytest.raises(SystemExit):
        app(["events", "list", "--dead", "--waiting"])


def test_empty_list_creates_no_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, say: Say) -> None:
    """An empty list says so and creates no ledger."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ANEW_SETTINGS", raising=False)

    assert say("list") == "no events\n"
    assert list(tmp_path.iterdir()) == []


def test_expired_lease_waits_again() -> None:
    """An event whose lease expired waits again."""
    entry = InboxEntry(1, "k", drift(), Cause.DRIFT, Source.WEBHOOK, NOW, 1, leased_until=NOW + timedelta(minutes=5))

    assert state_of(entry, NOW) == "leased until 2026-07-14 04:05:00Z"
    assert state_of(entry, NOW + timedelta(minutes=5)) == "waiting since 2026-07-14 04:00:00Z"


# --- show -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["event-a", drift("a").key])
def test_show_names_the_results(ledger: SqlLedger, say: Say, name: str) -> None:
    """An event is shown with the decision and the retraining it led to, and the next command."""
    receive(ledger, [drift("a")], NOW)
    ledger.record_decision(record(covers=(drift("a").key,)), retraining(), "test")

    text = say("show", name)

    assert "led to the decision d-1: retrain\nWhy: anew explain d-1" in text
    assert "led to the retraining r-1: launching" in text
    assert '"coefficient": 0.5' in text
    [told] = lines(say("show", name, "--json"))
    assert (told["key"], told["led_to"]) == (drift("a").key, ["d-1", "r-1"])


def test_show_dead_letter(ledger: SqlLedger, say: Say) -> None:
    """A dead letter is shown with how it would be read today and what to do."""
    letter, bad = put_letter(ledger, raw_drift()), put_letter(ledger, {"eventType": "[x]"})

    text = say("show", letter)

    assert "today        is the event drift|" in text
    assert text.endswith(f"Run: anew events redrive {letter}\n")
    assert '"driftCoefficient": 0.8350349068479208' in text
    assert json.loads(say("show", bad, "--json"))["today"] == {"reason": "topic is missing"}


def test_show_unknown_event(ledger: SqlLedger) -> None:
    """Showing an unknown event fails with the next command."""
    with pytest.raises(NothingKnown, match="called nothing") as raised:
        app(["events", "show", "nothing"])

    assert raised.value.advice == "Run: anew events list"


# --- redrive ----------------------------------------------------------------------------------------------


def test_redrive_all(ledger: SqlLedger, say: Say) -> None:
    """Redriving all reports each letter and exits with 1 if one stays."""
    good, bad = put_letter(ledger, raw_drift()), put_letter(ledger, {"eventType": "x"})

    told = {item["id"]: item for item in lines(say("redrive", "--all", "--json", exits=1))}

    [entry] = ledger.entries()
    assert told[good] == {"id": good, "redriven": True, "key": entry.key, "reason": None}
    assert told[bad] == {"id": bad, "redriven": False, "key": None, "reason": "topic is missing"}
    assert "0 in the inbox, 1 stay." in say("redrive", "--all", exits=1)


def test_redrive_named_letters(ledger: SqlLedger, say: Say) -> None:
    """Redriving takes only the named letters and may be repeated."""
    named, other = put_letter(ledger, raw_drift()), put_letter(ledger, raw_drift("other"))

    assert say("redrive", named, exits=0) == say("redrive", named, named, exits=0)

    assert [entry.event.id for entry in ledger.entries()] == ["lost"]
    assert [letter.id for letter in ledger.dead_letters()] == [other]


@pytest.mark.parametrize("words", [[], ["x-1", "--all"]])
def test_redrive_requires_ids_or_all(ledger: SqlLedger, words: list[str]) -> None:
    """Redriving requires either ids or `--all`."""
    with pytest.raises(InvalidRequest):
        app(["events", "redrive", *words])


def test_redrive_unknown_letter(ledger: SqlLedger) -> None:
    """Redriving an unknown letter redrives none of the others."""
    letter = put_letter(ledger, raw_drift())

    with pytest.raises(NothingKnown):
        app(["events", "redrive", letter, "x-unknown"])

    assert ledger.entries() == []


# --- ingest -----------------------------------------------------------------------------------------------


@pytest.fixture
def blobs(tmp_path: Path) -> Path:
    """A container as it was downloaded: good, foreign, spoilt and unreadable, in folders."""
    deep = tmp_path / "blobs" / "ANEW" / "2026" / "7"
    deep.mkdir(parents=True)
    added = {"deadLetterReason": "MaxDeliveryAttemptsExceeded", "deliveryAttempts": 30}
    other = raw_drift("other") | {"topic": OTHER_WORKSPACE.arm_id}
    handshake = load("validation.grid.batch.json")[0]
    elements = [raw_drift("one"), raw_drift("one"), other, handshake, raw_drift("bad") | {"id": None}]
    (deep / "1.json").write_text(json.dumps([element | added for element in elements]))
    (deep / "2.json").write_text("[{")
    (deep / "3.json").write_text("\n".join(json.dumps(raw_drift(name)) for name in ("one", "two")))
    (deep / "notes.txt").write_text("not a blob")
    return tmp_path / "blobs"


def test_ingest_continues_after_bad_file(ledger: SqlLedger, blobs: Path, say: Say) -> None:
    """Ingesting reports each file, and a bad file does not stop the others."""
    first, bad, last = lines(say("ingest", str(blobs), "--json", exits=2))

    counted = ("new", "known", "ignored", "unreadable")
    assert [first[name] for name in counted] == [1, 1, 2, 1]
    assert first["gave_up"] == {"MaxDeliveryAttemptsExceeded": 5}
    assert f"workspace {OTHER_WORKSPACE.name} is not watched" in first["ignored_reasons"]
    assert bad["failed"].startswith("the body is not JSON")
    assert [last[name] for name in counted] == [1, 1, 0, 0]
    assert {(entry.event.id, entry.source) for entry in ledger.entries()} == {
        ("one", Source.DEAD_LETTER),
        ("two", Source.DEAD_LETTER),
    }
    assert [letter.reason for letter in ledger.dead_letters()] == ["id is missing"]


def test_repeated_ingest_adds_nothing(ledger: SqlLedger, blobs: Path, say: Say) -> None:
    """A repeated ingest finds every event known and adds nothing."""
    say("ingest", str(blobs), exits=2)
    before = (ledger.entries(), ledger.dead_letters(), ledger.ignored_counts())

    text = say("ingest", str(blobs), exits=2)

    assert "0 new, 4 known, 2 ignored, 1 unreadable, 1 files failed\n" in text
    assert (ledger.entries(), ledger.dead_letters(), ledger.ignored_counts()) == before


def test_ingest_dry_run(ledger: SqlLedger, blobs: Path, say: Say) -> None:
    """A dry run of ingesting adds nothing."""
    text = say("ingest", str(blobs), "--dry-run", exits=2)

    assert text.endswith("1 files failed (dry run)\n")
    assert (ledger.entries(), ledger.dead_letters()) == ([], [])


def test_ingest_of_one_file(ledger: SqlLedger, tmp_path: Path, say: Say) -> None:
    """Ingesting one file accepts any name."""
    file = tmp_path / "one.blob"
    file.write_text(json.dumps(raw_drift()))

    assert "1 new" in say("ingest", str(file), exits=0)


def test_ingest_missing_path(ledger: SqlLedger) -> None:
    """Ingesting a missing path is an invalid request."""
    with pytest.raises(InvalidRequest, match="no such file or folder"):
        app(["events", "ingest", "nowhere"])


# --- replay -----------------------------------------------------------------------------------------------


def missed(count: int) -> Play:
    play = Play(now=START + timedelta(days=1))
    play.azure.happened.extend(drift_event(f"run-{number}") for number in range(count))
    return play


def no_sleep(_pause: timedelta) -> None:
    """Time does not matter here."""


def test_replay_is_idempotent() -> None:
    """A replay takes in what was missed, and the next one finds nothing."""
    play = missed(7)

    first = missed_between(play.engine, START, play.now)
    assert take_in(play.ledger, first, 5, lambda: play.now, no_sleep) == 7
    assert missed_between(play.engine, START, play.now) == []
    assert take_in(play.ledger, first, 5, lambda: play.now, no_sleep) == 0
    assert len(play.ledger.entries()) == 7


def test_dry_run_of_replay(capsys: pytest.CaptureFixture[str]) -> None:
    """A dry run names each missed event, and takes in none."""
    play = missed(1)

    show_replayed(missed_between(play.engine, START, play.now), None)

    assert capsys.readouterr().out == "2026-07-14 12:00:00Z  price-drift  run-0\n1 missed, dry run.\n"
    assert play.ledger.entries() == []


@pytest.mark.parametrize("words", [[], ["--dry-run"]])
def test_replay_in_json(say: Say, monkeypatch: pytest.MonkeyPatch, ledger: SqlLedger, words: list[str]) -> None:
    """JSON has the window, the missed events, and the number of new ones."""
    play = missed(3)
    monkeypatch.setattr(recover, "build_engine", lambda *_, **__: play.engine)

    [told] = lines(say("replay", "--since", "2026-07-14", "--until", "2026-07-16", "--rate", "1000", "--json", *words))

    assert (told["since"], told["until"]) == ("2026-07-14T00:00:00+00:00", "2026-07-16T00:00:00+00:00")
    assert [event["run_id"] for event in told["missed"]] == ["run-0", "run-1", "run-2"]
    assert told["new"] == len(play.ledger.entries()) == (0 if words else 3)


def test_interrupted_replay_says_how_far_it_came(capsys: pytest.CaptureFixture[str]) -> None:
    """A replay that is interrupted keeps what it took in, and prints how much that was."""
    play = missed(12)

    def interrupted(_pause: timedelta) -> None:
        if play.ledger.entries():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        take_in(play.ledger, missed_between(play.engine, START, play.now), 5, lambda: play.now, interrupted)

    assert capsys.readouterr().err == "5 of 12 taken in; run the same again for the rest\n"
    assert len(play.ledger.entries()) == 5


@pytest.mark.parametrize("window", [["2999-01-01"], ["2026-02-01", "--until", "2026-01-01"]])
def test_replay_requires_past_window(ledger: SqlLedger, window: list[str]) -> None:
    """A replay requires a window in the past."""
    with pytest.raises(InvalidRequest, match="not a span of time in the past"):
        app(["events", "replay", "--since", *window])


@pytest.mark.parametrize("rate", ["0", "-1", "inf", "nan"])
def test_replay_requires_valid_rate(ledger: SqlLedger, rate: str) -> None:
    """A replay requires a rate that is positive and finite."""
    with pytest.raises(SystemExit):
        app(["events", "replay", "--since", "2026-01-01", "--rate", rate])


def test_dead_letter_names_inbox_event(ledger: SqlLedger, say: Say) -> None:
    """A redriven dead letter names the key of its event in the inbox."""
    letter = put_letter(ledger, raw_drift())
    [told] = lines(say("redrive", letter, "--json", exits=0))

    assert f"Run: anew events show '{told['key']}'" in say("show", letter)
    assert "dead-letter" in say("show", told["key"])


def test_listed_ids_can_be_shown(ledger: SqlLedger, say: Say) -> None:
    """Every event can be shown by the id in the list."""
    receive(ledger, [drift("a"), registered()], NOW)
    put_letter(ledger, raw_drift())

    for item in lines(say("list", "--json")):
        assert item["id"] in say("show", item["id"])


def test_parse_good_and_bad_events(tmp_path: Path, say: Say) -> None:
    """Parsing prints the good events and exits with 2 if one is bad."""
    file = tmp_path / "events.json"
    file.write_text(json.dumps([raw_drift(), {}]))

    [told] = lines(say("parse", str(file), exits=2))

    assert (told["id"], told["run_id"]) == ("lost", "lost")
