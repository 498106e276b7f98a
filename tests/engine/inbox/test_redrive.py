"""Getting back what was missed: nothing good is lost whatever it is mixed with, and repeating changes nothing."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anew.adapters.ledger import SqlLedger
from anew.core.events.dead_letter_blobs import Foreign, Undelivered, read_blob
from anew.core.events.event import Cause, Event, Rejected
from anew.core.events.handling import SettledAtOnce, handling
from anew.core.events.parsing import parse_event
from anew.engine.base.ledger import DeadLetter, Ledger, Source
from anew.engine.inbox.intake import dead_letter
from anew.engine.inbox.redrive import ingest, missed_between, redrive, replay
from anew.errors import LedgerUnavailable
from tests.builders import MONITOR, START, Play, drift_event, fresh_ledger
from tests.event_data import NOW, OTHER_WORKSPACE, WORKSPACE, drift, load

LATER = NOW + timedelta(hours=1)
WATCHED = {WORKSPACE}
BAD: tuple[Any, ...] = (None, 3, "text", {}, [], {"eventType": "x"}, {"id": 1, "specversion": "9"})


def drift_raw(run: str, workspace: str = WORKSPACE.arm_id) -> dict[str, Any]:
    """Drift as Event Grid delivers it, about this run."""
    [raw] = load("drift.grid.batch.json")
    return raw | {"id": f"event-{run}", "topic": workspace, "data": raw["data"] | {"runId": run}}


def letter(raw: Any, reason: str = "no version before this one could read it") -> DeadLetter:
    return dead_letter(Rejected(reason, raw), Source.WEBHOOK, NOW)


def put(ledger: Ledger, letters: Sequence[DeadLetter]) -> None:
    ledger.receive([], Source.WEBHOOK, NOW, dead=letters)


def redrive_all(ledger: Ledger, now: datetime = LATER) -> dict[str, str | None]:
    """Why each dead letter stays, None if it does not."""
    letters = ledger.dead_letters(1000)
    return {redriven.letter.id: redriven.why_not for redriven in redrive(ledger, letters, WATCHED, now)}


def state(ledger: Ledger) -> object:
    """All that taking in writes."""
    entries = sorted((asdict(entry) for entry in ledger.entries(1000)), key=lambda entry: entry["key"])
    letters = sorted((asdict(letter) for letter in ledger.dead_letters(1000, all=True)), key=lambda item: item["id"])
    return entries, letters, ledger.ignored_counts()


def keys(ledger: Ledger) -> set[str]:
    return {entry.key for entry in ledger.entries(1000)}


_good = st.sampled_from([drift_raw(run) for run in "abcde"])
_others = st.sampled_from([drift_raw(run, OTHER_WORKSPACE.arm_id) for run in "ab"] + load("validation.grid.batch.json"))
_elements = st.lists(_good | st.sampled_from(BAD) | _others, max_size=12)


def good_keys(elements: Sequence[Any]) -> set[str]:
    parsed = [parse_event(element) for element in elements]
    return {event.key for event in parsed if isinstance(event, Event) and event.workspace == WORKSPACE}


# --- redrive ----------------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(_elements, st.sets(st.sampled_from("abcde")))
def test_redrive_is_complete_and_idempotent(elements: list[Any], known: set[str]) -> None:
    """A redrive recovers every good letter and keeps the bad ones, and a second changes nothing."""
    ledger = fresh_ledger()
    parsed = [parse_event(drift_raw(run)) for run in sorted(known)]
    ledger.receive([event for event in parsed if isinstance(event, Event)], Source.WEBHOOK, NOW)
    before = keys(ledger)
    put(ledger, [letter(element) for element in elements])

    redrive_all(ledger)
    once = state(ledger)
    redrive_all(ledger, LATER + timedelta(days=1))

    assert keys(ledger) == before | good_keys(elements)
    assert state(ledger) == once
    assert {entry.deliveries for entry in ledger.entries(1000)} <= {1}
    left = [json.loads(item.raw) for item in ledger.dead_letters(1000)]
    assert good_keys(left) == set()
    assert all(element in left for element in elements if not good_keys([element]))


def test_redriven_event_names_its_source() -> None:
    """A redriven event has the dead letter as its source, and the letter is marked."""
    ledger = fresh_ledger()
    put(ledger, [letter(drift_raw("a"))])

    redrive_all(ledger)

    [entry] = ledger.entries()
    assert (entry.source, entry.received_at, entry.settled_at) == (Source.DEAD_LETTER, LATER, None)
    [marked] = ledger.dead_letters(all=True)
    assert marked.redriven_at == LATER


def test_bad_letter_stays() -> None:
    """A letter that is still bad stays as it was, and the redrive reports the present reason."""
    ledger = fresh_ledger()
    put(ledger, [letter({"eventType": "x"}, "the reason of then")])

    [why_not] = redrive_all(ledger).values()

    assert why_not == "topic is missing"
    [kept] = ledger.dead_letters()
    assert (kept.reason, kept.deliveries, kept.redriven_at) == ("the reason of then", 1, None)


def test_unwatched_letter_stays() -> None:
    """A letter of a workspace that is not watched stays until the workspace is watched."""
    ledger = fresh_ledger()
    put(ledger, [letter(drift_raw("a", OTHER_WORKSPACE.arm_id))])

    assert list(redrive_all(ledger).values()) == [f"workspace {OTHER_WORKSPACE.name} is not watched"]
    assert keys(ledger) == set()

    list(redrive(ledger, ledger.dead_letters(), {OTHER_WORKSPACE}, LATER))
    assert len(keys(ledger)) == 1
    assert ledger.dead_letters() == []


def test_redrive_settles_unhandled_causes() -> None:
    """A redriven event that needs no action is settled at once."""
    ledger = fresh_ledger()
    put(ledger, [letter(load("run-running.grid.batch.json")[0])])

    redrive_all(ledger)

    [entry] = ledger.entries()
    assert handling(Cause.RUN_PROGRESS) == SettledAtOnce(entry.outcome or "")


def test_deep_letter_delays_no_other() -> None:
    """A letter nested too deeply is reported and does not stop the other letters."""
    ledger = fresh_ledger()
    deep = DeadLetter("x-deep", "why", "[" * 100_000 + "]" * 100_000, Source.WEBHOOK, NOW)
    put(ledger, [deep, letter(drift_raw("a"))])

    assert redrive_all(ledger)["x-deep"] == "nested too deeply"
    assert len(keys(ledger)) == 1


class DiesBeforeTheMark:
    """A ledger whose process dies between the inbox and the mark."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def mark_redriven(self, letter_ids: Sequence[str], now: datetime) -> None:
        raise LedgerUnavailable("died")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)


def test_crashed_redrive_is_completed() -> None:
    """The next redrive completes one that crashed before it marked its letters."""
    ledger = fresh_ledger()
    put(ledger, [letter(drift_raw("a"))])
    dying: Any = DiesBeforeTheMark(ledger)

    with pytest.raises(LedgerUnavailable):
        redrive_all(dying)
    redrive_all(ledger, LATER + timedelta(minutes=1))

    [entry] = ledger.entries()
    assert (entry.deliveries, entry.received_at) == (1, LATER)
    assert ledger.dead_letters() == []


def test_large_redrive_takes_all() -> None:
    """More letters than fit into one transaction are all redriven."""
    ledger = fresh_ledger()
    put(ledger, [letter(drift_raw(f"run-{number}")) for number in range(1001)])

    found = list(redrive(ledger, ledger.dead_letters(2000), WATCHED, LATER))

    assert len({redriven.key for redriven in found}) == 1001
    assert len(ledger.entries(2000)) == 1001
    assert ledger.dead_letters() == []


# --- ingest -----------------------------------------------------------------------------------------------


def blob(elements: Sequence[Any]) -> list[Undelivered]:
    told = {"deadLetterReason": "TimeToLiveExceeded", "deliveryAttempts": 3}
    body = [element | told if isinstance(element, dict) else element for element in elements]
    return read_blob(json.dumps(body).encode(), WATCHED)


@settings(max_examples=50)
@given(_elements)
def test_ingest_is_complete_and_idempotent(elements: list[Any]) -> None:
    """An ingest takes in every good event, and a second changes nothing."""
    ledger = fresh_ledger()

    first = ingest(ledger, blob(elements), NOW)
    once = state(ledger)
    second = ingest(ledger, blob(elements), LATER)

    assert keys(ledger) == good_keys(elements) == {event.key for event in first.new}
    assert state(ledger) == once
    assert second.new == second.unkept == ()
    assert second.known == first.known + len(first.new)
    assert len(ledger.dead_letters(1000)) == len(first.unreadable) == len(second.unreadable)
    assert sum(first.ignored.values()) + first.known + len(first.new) + len(first.unreadable) <= len(elements)


@settings(max_examples=50)
@given(_elements)
def test_ingest_dry_run_writes_nothing(elements: list[Any]) -> None:
    """A dry run of ingest reports the same as a real run and writes nothing."""
    ledger = fresh_ledger()
    before = state(ledger)

    told = ingest(ledger, blob(elements), NOW, dry_run=True)

    assert state(ledger) == before
    assert told == ingest(ledger, blob(elements), NOW)


def test_ingest_keeps_webhook_entries() -> None:
    """An ingest leaves events that the webhook received unchanged."""
    ledger = fresh_ledger()
    event = parse_event(drift_raw("a"))
    assert isinstance(event, Event)
    ledger.receive([event], Source.WEBHOOK, NOW)

    found = ingest(ledger, blob([drift_raw("a"), drift_raw("a")]), LATER)

    [entry] = ledger.entries()
    assert (found.new, found.known) == ((), 2)
    assert (entry.source, entry.deliveries) == (Source.WEBHOOK, 1)


def test_ingest_counts_ignored_events() -> None:
    """An ingest counts ignored events by reason."""
    other = drift_raw("a", OTHER_WORKSPACE.arm_id)

    found = ingest(fresh_ledger(), [*blob([other, other]), Undelivered(Foreign("not ours"))], NOW)

    assert found.ignored == {f"workspace {OTHER_WORKSPACE.name} is not watched": 2, "not ours": 1}


def test_unreadable_event_becomes_dead_letter() -> None:
    """An event that ingest cannot read becomes a dead letter that a redrive takes up."""
    ledger = fresh_ledger()
    spoilt = drift_raw("a", "/subscriptions/cut")

    [unreadable] = ingest(ledger, blob([spoilt]), NOW).unkept

    assert unreadable.raw == spoilt
    assert list(redrive_all(ledger).values()) == [unreadable.reason]


# --- replay -----------------------------------------------------------------------------------------------


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = START
        self.taken: list[tuple[float, int]] = []

    def sleep(self, pause: timedelta) -> None:
        self.now += pause

    def replay(self, ledger: SqlLedger, events: Sequence[Event], per_second: float, lots: int | None = None) -> None:
        """Replay, at most this many lots of it, noting when how many were new."""
        for number, new in enumerate(replay(ledger, events, per_second, lambda: self.now, self.sleep), start=1):
            self.taken.append(((self.now - START).total_seconds(), new))
            if number == lots:
                return


def missed_events(count: int) -> list[Event]:
    return [drift_event(f"run-{number}", at=START + timedelta(seconds=number)) for number in range(count)]


@settings(max_examples=50)
@given(st.integers(0, 40), st.floats(0.1, 20))
def test_replay_keeps_its_rate(count: int, per_second: float) -> None:
    """A replay takes in every event and never exceeds its rate."""
    ledger, clock = fresh_ledger(), Clock()

    clock.replay(ledger, missed_events(count), per_second)

    total = 0
    for seconds, new in clock.taken:
        assert total <= per_second * seconds + 1e-3  # a lot begins when those before it have had their time
        assert new <= max(1, per_second + 1)
        total += new
    assert total == count == len(ledger.entries(100))


@settings(max_examples=50)
@given(st.integers(1, 30), st.integers(1, 5))
def test_interrupted_replay_is_completed(count: int, lots: int) -> None:
    """The next replay completes an interrupted one and counts no event twice."""
    play = Play(now=START + timedelta(days=1))
    play.azure.happened.extend(missed_events(count))

    Clock().replay(play.ledger, missed_between(play.engine, START, play.now), 5, lots)
    assert len(play.ledger.entries(100)) == min(count, 5 * lots)
    Clock().replay(play.ledger, missed_between(play.engine, START, play.now), 5)

    assert keys(play.ledger) == {event.key for event in missed_events(count)}
    assert {(entry.deliveries, entry.source) for entry in play.ledger.entries(100)} == {(1, Source.RECONCILE)}
    assert missed_between(play.engine, START, play.now) == []


def test_missed_events_of_a_window() -> None:
    """`missed_between` finds the watched events of its window that the inbox lacks, oldest first."""
    play = Play(now=START + timedelta(days=3))
    days = [drift_event(f"day-{day}", at=START + timedelta(days=day)) for day in (3, 2, 1, 0)]
    unwatched = drift_event("other", at=START + timedelta(days=1), monitor="not-ours")
    play.azure.happened.extend([*days, unwatched])
    play.receive(days[2])

    missed = missed_between(play.engine, START, START + timedelta(days=2))

    assert [event.run_id for event in missed] == ["day-0", "day-2"]
    assert MONITOR in play.engine.policies.all[0].monitors


def test_later_events_are_not_replayed() -> None:
    """Events after the end of the window are left out even if Azure lists them."""

    class Everything:
        """Azure lists runs newest first, from now on."""

        def drift(self, monitors: object, since: datetime, now: datetime) -> list[Event]:
            return missed_events(10)

    engine = replace(Play().engine, missed=Everything())

    assert [event.run_id for event in missed_between(engine, START, START + timedelta(seconds=1))] == [
        "run-0",
        "run-1",
    ]


def test_replay_skips_delivered_events() -> None:
    """An event that was delivered before its turn in the replay is not counted again."""
    ledger = fresh_ledger()
    events = [drift("a"), drift("b")]
    ledger.receive(events[:1], Source.WEBHOOK, NOW)

    counts = list(replay(ledger, events, 5, lambda: LATER, lambda _: None))

    assert counts == [1]
    assert {(entry.deliveries, entry.source) for entry in ledger.entries()} == {
        (1, Source.WEBHOOK),
        (1, Source.RECONCILE),
    }
