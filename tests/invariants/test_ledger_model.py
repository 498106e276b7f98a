"""Whatever is asked of a ledger, in whatever order and by whichever process, it answers as its model does.

`ANEW_TEST_EXAMPLES=500 pytest --timeout 0 tests/invariants/test_ledger_model.py` tries that many histories, others each
time, and looks for the shortest one that fails.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from msgspec import structs

from anew.core.base.token_bucket import TokenBucket
from anew.core.events.event import Cause, Event
from anew.core.events.handling import CAUSES_OF
from anew.core.retrainings.lifecycle import OPEN_RETRAINING, RETRAINING_TRANSITIONS, Retraining
from anew.core.rollouts.lifecycle import OPEN_ROLLOUT, ROLLOUT_TRANSITIONS, Rollout
from anew.core.rollouts.traffic import Share, TrafficChange
from anew.engine.base.ledger import AuditRow, DeadLetter, InboxEntry, Source, Waiting
from anew.errors import StaleWrite
from tests.builders import MODEL, START, drift_event, run_event
from tests.contract.rows import record, retraining, rollout
from tests.invariants.ledger_model import LedgerModel
from tests.places import NewPlace

ALL = 1000
LEASE = timedelta(minutes=5)
BEHIND = timedelta(seconds=2)  # the clock of the second process
LIMIT = TokenBucket(burst=3, per_second=0.01)
UNKNOWN = "nobody-knows-this"
EVENTS: Mapping[str, Event] = {
    "a": drift_event("a"),
    "a told otherwise": drift_event("a", value=0.4),
    "b": drift_event("b"),
    "c": drift_event("c"),
    "run": run_event("run"),
    "progress": structs.replace(
        run_event("run"), cause=Cause.RUN_PROGRESS
    ),  # needs no answer: settled when it is received
}
KEYS: Mapping[str, str] = {name: event.key for name, event in EVENTS.items()} | {UNKNOWN: UNKNOWN}

_VIEWS = st.integers(0, 1)
_SOME_EVENTS = st.lists(st.sampled_from(sorted(EVENTS)), max_size=4)
_SOME_KEYS = st.lists(st.sampled_from(sorted(KEYS)), max_size=4)
_SOME_LETTERS = st.lists(st.sampled_from("xy"), max_size=2)
_SOME_IGNORED = st.lists(st.sampled_from([("Some.Type", "not ours"), ("Some.Type", "unknown")]), max_size=2)


class LedgerBesideItsModel(RuleBasedStateMachine):
    """Two processes work on one ledger; each thing they do is done to the model as well."""

    retrainings = Bundle("retrainings")  # as somebody read them at some time: many of them are stale
    rollouts = Bundle("rollouts")

    def __init__(self, new_place: NewPlace) -> None:
        super().__init__()
        self.cleanup = ExitStack()
        self.place = self.cleanup.enter_context(new_place())
        self.views = [self.place.open(), self.place.open()]
        self.reader = 0
        self.model = LedgerModel()
        self.now = START

    def clock(self, view: int) -> datetime:
        """What time this process thinks it is. No two calls are given the same time."""
        self.now += timedelta(microseconds=1)
        return self.now - view * BEHIND

    def do(self, view: int, method: str, *args: Any, **kwargs: Any) -> Any:
        """Do it to both; returns the ledger's answer. What it led to is read by the other process."""
        self.reader = 1 - view
        return self.agreed(view, method, *args, **kwargs)

    def agreed(self, view: int, method: str, *args: Any, **kwargs: Any) -> Any:
        """The ledger's answer, which must be the model's."""
        expected = _answer(self.model, method, *args, **kwargs)
        actual = _answer(self.views[view], method, *args, **kwargs)
        assert _comparable(method, actual) == _comparable(method, expected), f"{method}{args}"
        return actual

    @initialize(target=retrainings)
    def drift_led_to_a_retraining(self) -> Retraining:
        self.receive(view=0, names=["a", "b", "c", "run"], source=Source.WEBHOOK, ignored=[], letters=[])
        started = retraining("0")
        self.do(0, "record_decision", record("0", covers=(KEYS["a"],)), started, "me", None)
        return started

    @initialize(target=rollouts)
    def rollout_is_pending(self) -> Rollout:
        self.do(0, "add_rollout", rollout("0"), "me")
        return rollout("0")

    # --- inbox --------------------------------------------------------------------------------------------

    @rule(view=_VIEWS, names=_SOME_EVENTS, source=st.sampled_from(Source), ignored=_SOME_IGNORED, letters=_SOME_LETTERS)
    def receive(
        self, *, view: int, names: list[str], source: Source, ignored: list[tuple[str, str]], letters: list[str]
    ) -> None:
        events = [EVENTS[name] for name in names]
        settled = {event.key: "nothing to do" for event in events if event.cause is Cause.RUN_PROGRESS}
        dead = [DeadLetter(f"x-{name}", f"told by {source}", "{}", source, self.clock(view)) for name in letters]
        self.do(view, "receive", events, source, self.clock(view), settled=settled, ignored=ignored, dead=dead)

    @rule(view=_VIEWS, flow=st.sampled_from(["retrain", "retrain", "promote"]), limit=st.sampled_from([1, 2, None]))
    def lease(self, *, view: int, flow: str, limit: int | None) -> None:
        self.do(view, "lease", CAUSES_OF[flow], self.clock(view), LEASE, limit)

    @rule(view=_VIEWS, names=_SOME_KEYS, tried=st.booleans())
    def release(self, *, view: int, names: list[str], tried: bool) -> None:
        self.do(view, "release", _keys(names), self.clock(view) if tried else None)

    @rule(view=_VIEWS, names=_SOME_KEYS, subject=st.none() | st.just("d-1"))
    def settle(self, *, view: int, names: list[str], subject: str | None) -> None:
        self.do(view, "settle", _keys(names), f"settled for {subject}", self.clock(view), subject)

    @rule(view=_VIEWS, of=st.sampled_from([slice(None), slice(1), slice(1, None)]), letters=_SOME_LETTERS)
    def mark(self, *, view: int, of: slice, letters: list[str]) -> None:
        waiting = self.agreed(view, "unleased", list(Cause), self.clock(view))
        self.do(view, "mark_hinted", waiting[of], self.clock(view))
        self.do(view, "mark_redriven", [f"x-{name}" for name in letters], self.clock(view))

    # --- decisions and retrainings ------------------------------------------------------------------------

    @rule(
        target=retrainings,
        view=_VIEWS,
        number=st.integers(0, 9),
        model=st.sampled_from([MODEL, "demand"]),
        covers=_SOME_KEYS,
        settles=st.none() | _SOME_KEYS,
        starts=st.booleans(),
    )
    def decide(
        self, *, view: int, number: int, model: str, covers: list[str], settles: list[str] | None, starts: bool
    ) -> Any:
        now = self.clock(view)
        made = replace(record(str(number), model=model, covers=tuple(_keys(covers))), decided_at=now)
        started = replace(retraining(str(number), model=model), created_at=now) if starts else None
        keys = None if settles is None else _keys(settles)
        answer = self.do(view, "record_decision", made, started, "me", keys)
        return multiple() if answer is StaleWrite or started is None else started

    @rule(target=retrainings, view=_VIEWS, seen=retrainings, data=st.data())
    def move_retraining(self, *, view: int, seen: Retraining, data: st.DataObject) -> Any:
        moves = {"noted": seen.state, **RETRAINING_TRANSITIONS[seen.state]}
        move = data.draw(st.sampled_from(list(moves)), label="move")
        moved = replace(seen, state=moves[move], external_run_id=f"run of {seen.id}", reason=move)
        answer = self.do(view, "save_retraining", moved, move, "me", self.clock(view), {})
        return multiple() if answer is StaleWrite else answer

    @rule(view=_VIEWS, seen=retrainings, seconds=st.integers(0, 120))
    def postpone(self, *, view: int, seen: Retraining, seconds: int) -> None:
        self.do(view, "postpone", {seen.id: self.clock(view) + timedelta(seconds=seconds)})

    # --- rollouts -----------------------------------------------------------------------------------------

    @rule(target=rollouts, view=_VIEWS, number=st.integers(0, 2))
    def add_rollout(self, *, view: int, number: int) -> Any:
        added = replace(rollout(str(number)), created_at=self.clock(view))
        return added if self.do(view, "add_rollout", added, "me") else multiple()

    @rule(view=_VIEWS, endpoint=st.sampled_from("ab"), holder=st.sampled_from("xyz"))
    def lease_endpoint(self, *, view: int, endpoint: str, holder: str) -> None:
        self.do(view, "lease_endpoint", endpoint, holder, self.clock(view), LEASE)

    @rule(view=_VIEWS, endpoint=st.sampled_from("ab"), holder=st.sampled_from("xyz"))
    def free_endpoint(self, *, view: int, endpoint: str, holder: str) -> None:
        self.do(view, "free_endpoint", endpoint, holder)

    @rule(view=_VIEWS, endpoint=st.sampled_from("ab"), percent=st.sampled_from([0, 20, 100]))
    def note_traffic(self, *, view: int, endpoint: str, percent: int) -> None:
        shares = (Share("new", percent, "price:2"),)
        self.do(view, "note_traffic", TrafficChange(self.clock(view), endpoint, shares, "somebody", "by hand"))

    @rule(view=_VIEWS, endpoint=st.sampled_from([None, "a", "b"]), limit=st.integers(1, 3))
    def traffic(self, *, view: int, endpoint: str | None, limit: int) -> None:
        self.do(view, "traffic", endpoint, None, limit)

    @rule(target=rollouts, view=_VIEWS, seen=rollouts, data=st.data())
    def move_rollout(self, *, view: int, seen: Rollout, data: st.DataObject) -> Any:
        moves = {"noted": seen.state, **ROLLOUT_TRANSITIONS[seen.state]}
        move = data.draw(st.sampled_from(list(moves)), label="move")
        moved = replace(seen, state=moves[move], step=seen.step + 1, reason=move)
        answer = self.do(view, "save_rollout", moved, move, "me", self.clock(view), {})
        return multiple() if answer is StaleWrite else answer

    # --- the world ----------------------------------------------------------------------------------------

    @rule(view=_VIEWS, name=st.sampled_from(["here", "there"]), pauses=st.booleans())
    def pace(self, *, view: int, name: str, pauses: bool) -> None:
        self.do(view, "set_watermark", name, self.clock(view))
        self.do(view, "take_tokens", name, 2, LIMIT, self.clock(view))
        if pauses:
            self.do(view, "pause_bucket", name, self.clock(view) + timedelta(minutes=1))

    @rule(seconds=st.sampled_from([30, 61, 301]))
    def wait(self, *, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(view=_VIEWS)
    def restart(self, *, view: int) -> None:
        self.views[view].close()
        self.views[view] = self.place.open()
        self.reader = view

    # --- reading ------------------------------------------------------------------------------------------

    @invariant()
    def other_process_reads_what_was_written(self) -> None:
        view = self.reader
        self.agreed(view, "entries", ALL)
        self.agreed(view, "ignored_counts")
        self.agreed(view, "dead_letters", ALL, all=True)
        self.agreed(view, "decisions", None, ALL, None)
        self.agreed(view, "retrainings", None, None, ALL)
        self.agreed(view, "due_retrainings", self.now, ALL)
        self.agreed(view, "rollouts", None, None, ALL)
        self.agreed(view, "audit", None, ALL)
        self.agreed(view, "watermark", "here")

    @rule(view=_VIEWS)
    def look_into_the_inbox(self, *, view: int) -> None:
        known = self.model.entries(ALL)
        self.agreed(view, "entry", KEYS["b"])
        self.agreed(view, "entry", EVENTS["run"].id)
        self.agreed(view, "entry", UNKNOWN)
        self.agreed(view, "known_keys", [UNKNOWN, *(entry.key for entry in known[::2])])
        self.agreed(view, "entries", 2)
        self.agreed(view, "entries", ALL, waiting=True)
        self.agreed(view, "backlog")
        self.agreed(view, "unsettled", CAUSES_OF["retrain"])
        self.agreed(view, "unleased", CAUSES_OF["retrain"], self.clock(view))
        self.agreed(view, "recent", [Cause.DRIFT, known[0].cause], known[0].received_at)
        self.agreed(view, "dead_letters", 1)
        self.agreed(view, "dead_letter", "x-x")

    @rule(view=_VIEWS)
    def look_at_decisions(self, *, view: int) -> None:
        decisions = self.model.decisions(None, ALL, None)
        some = decisions[len(decisions) // 2]
        self.agreed(view, "decision", some.id)
        self.agreed(view, "decisions", None, 2, None)
        self.agreed(view, "decisions", some.model, ALL, some.decided_at)

    @rule(view=_VIEWS)
    def look_at_retrainings(self, *, view: int) -> None:
        self.agreed(view, "retraining", "r-0")
        self.agreed(view, "retraining", UNKNOWN)
        self.agreed(view, "retraining_by_job", "run of r-0")
        self.agreed(view, "open_retrainings_by_job", ["job-0", "evaluation-0", "job-1", "run of r-2", UNKNOWN])
        self.agreed(view, "retrainings", None, MODEL, 1)
        self.agreed(view, "retrainings", OPEN_RETRAINING, None, ALL)
        self.agreed(view, "open_retraining_of", MODEL)
        self.agreed(view, "count_open_retrainings")
        self.agreed(view, "due_retrainings", self.now + timedelta(minutes=1), 1)

    @rule(view=_VIEWS)
    def look_at_the_rest(self, *, view: int) -> None:
        self.agreed(view, "rollout", "o-0")
        self.agreed(view, "rollouts", None, MODEL, 1)
        self.agreed(view, "rollouts", OPEN_ROLLOUT, None, ALL)
        self.agreed(view, "audit", None, 2)
        self.agreed(view, "audit", "r-0", ALL)
        self.agreed(view, "watermark", "there")

    def teardown(self) -> None:
        self.cleanup.close()


def _keys(names: Sequence[str]) -> list[str]:
    return [KEYS[name] for name in names]


def _answer(ledger: Any, method: str, *args: Any, **kwargs: Any) -> Any:
    try:
        return getattr(ledger, method)(*args, **kwargs)
    except StaleWrite:
        return StaleWrite


def _comparable(method: str, answer: Any) -> Any:
    """Without what only the database knows: the numbers of its rows, and an order where none is promised."""
    match answer:
        case list():
            rows = [_comparable(method, row) for row in answer]
            return sorted(rows, key=repr) if method in {"ignored_counts", "open_retrainings_by_job"} else rows
        case InboxEntry():
            return replace(answer, seq=0)
        case Waiting():
            return replace(answer, oldest=0, newest=0)
        case AuditRow():
            return replace(answer, seq=0, detail={})
        case _:
            return answer


def _settings() -> settings:
    chosen: dict[str, Any] = {"max_examples": 25, "derandomize": True, "phases": [Phase.generate]}
    if examples := os.environ.get("ANEW_TEST_EXAMPLES"):
        chosen = {"max_examples": int(examples)}
    unhurried = [HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(stateful_step_count=50, suppress_health_check=unhurried, database=None, **chosen)


def test_ledger_matches_its_model(new_lasting_place: NewPlace) -> None:
    """Any sequence of calls gives the same answers from the ledger and from its model."""
    run_state_machine_as_test(partial(LedgerBesideItsModel, new_lasting_place), settings=_settings())
