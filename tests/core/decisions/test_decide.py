"""Deciding: outcomes, guards, force, stale evidence, and what events say."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anew.core.base.metrics import DETAILS_UNKNOWN, MONITOR_FAILED
from anew.core.decisions.decide import CLOCK_SKEW, compile_policy, decide, monitors_of, signals_of
from anew.core.decisions.decision import Decision, Outcome
from anew.core.events.event import Breach, Cause, Drift, Event, Workspace
from anew.core.evidence.history import Attempt, AttemptState, Force, History
from anew.core.evidence.signals import Evidence, Missing, Signal
from anew.core.evidence.tree import Node, Verdict
from tests.core.policies.samples import NOW, sample

POLICY = compile_policy(sample())
FORCE = Force("ada", "new schema")
HOUR = timedelta(hours=1)


def retrained(at: datetime) -> History:
    return History((Attempt("r0", at, AttemptState.REGISTERED),))


OPEN = History((Attempt("r1", NOW - 3 * HOUR, AttemptState.OPEN),))


def evidence(drift: float | None = 0.8, accuracy: float | None = 0.7, age: timedelta = HOUR) -> Evidence:
    at = NOW - age
    return Evidence((Signal("drift_coefficient", drift, "event", at), Signal("accuracy", accuracy, "query", at)))


def child(decision: Decision, rule: str) -> Node:
    return next(node for node in decision.tree.children if node.rule == rule)


@pytest.mark.parametrize(
    ("gathered", "history", "expected"),
    [
        (evidence(), History(), Outcome.RETRAIN),
        (evidence(), retrained(NOW - 2 * HOUR), Outcome.RETRAIN),
        (evidence(), retrained(NOW - HOUR), Outcome.RETRAIN),
        (evidence(), retrained(NOW - HOUR / 2), Outcome.HOLD),
        (evidence(), retrained(NOW + HOUR), Outcome.HOLD),
        (evidence(), OPEN, Outcome.HOLD),
        (evidence(drift=0.1), History(), Outcome.HOLD),
        (evidence(accuracy=None), History(), Outcome.INSUFFICIENT),
        (evidence(accuracy=None), OPEN, Outcome.HOLD),
        (evidence(drift=0.1, accuracy=None), History(), Outcome.HOLD),
        (Evidence(), History(), Outcome.INSUFFICIENT),
    ],
)
def test_outcome_follows_rules_and_guards(gathered: Evidence, history: History, expected: Outcome) -> None:
    """The outcome follows from the rules, the cooldown and a retraining that is open."""
    assert decide(POLICY, gathered, history, NOW).outcome is expected


def test_force_skips_rules_and_cooldown() -> None:
    """A forced decision skips the rules and the cooldown, and the tree names who asked."""
    decision = decide(POLICY, evidence(drift=0.1), retrained(NOW), NOW, FORCE)
    assert decision.outcome is Outcome.RETRAIN
    assert decision.tree.sentence.startswith("retrain: asked for by ada: new schema")
    assert {node.rule for node in decision.tree.children} == {"force", "in_flight", "all", "cooldown"}


def test_force_respects_open_retraining() -> None:
    """Force never starts a second retraining while one is open."""
    decision = decide(POLICY, evidence(), OPEN, NOW, FORCE)
    assert decision.outcome is Outcome.HOLD
    assert "r1 is still under way" in decision.tree.sentence


def test_hold_names_cooldown_end() -> None:
    """A hold by the cooldown names the time at which the cooldown ends."""
    decision = decide(POLICY, evidence(), retrained(NOW - HOUR / 2), NOW)
    assert decision.tree.sentence == "hold: the cooldown of 1:00:00 lasts until 2026-07-14 12:30:00+00:00"


@pytest.mark.parametrize("age", [timedelta(days=30, seconds=1), -CLOCK_SKEW - timedelta(seconds=1)])
def test_stale_and_future_signals_left_out(age: timedelta) -> None:
    """Signals too old or from the future are left out, and the tree reports them."""
    decision = decide(POLICY, evidence(age=age), History(), NOW)
    assert decision.outcome is Outcome.INSUFFICIENT
    assert "left out 2 signals (accuracy, drift_coefficient)" in child(decision, "stale_evidence").sentence


@pytest.mark.parametrize("age", [timedelta(days=30), -CLOCK_SKEW])
def test_signals_at_window_edge_count(age: timedelta) -> None:
    """A signal exactly at the edge of the window still counts."""
    assert decide(POLICY, evidence(age=age), History(), NOW).outcome is Outcome.RETRAIN


def test_missing_evidence_in_tree() -> None:
    """Missing evidence is in the tree with its reason and does not stop the decision."""
    gathered = Evidence(evidence().signals, (Missing("log_analytics", "403"),))
    decision = decide(POLICY, gathered, History(), NOW)
    assert child(decision, "missing_evidence").sentence == "log_analytics gave nothing: 403"
    assert decision.outcome is Outcome.RETRAIN


_VALUES = st.none() | st.floats(allow_nan=True)
_HISTORIES = st.lists(
    st.builds(
        Attempt,
        st.just("r1"),
        st.timedeltas(-2 * HOUR, 2 * HOUR).map(lambda ago: NOW - ago),
        st.sampled_from(AttemptState),
    ),
    max_size=3,
).map(lambda attempts: History(tuple(sorted(attempts, key=lambda each: each.at, reverse=True))))


@given(_VALUES, _VALUES, _HISTORIES, st.none() | st.just(FORCE))
def test_never_retrains_while_one_open(
    drift: float | None, accuracy: float | None, history: History, force: Force | None
) -> None:
    """No decision retrains while a retraining is open, and the root agrees with the outcome."""
    decision = decide(POLICY, evidence(drift, accuracy), history, NOW, force)
    assert (decision.outcome is Outcome.RETRAIN) == (decision.tree.verdict is Verdict.YES)
    if decision.outcome is Outcome.RETRAIN:
        assert all(attempt.state is not AttemptState.OPEN for attempt in history.attempts)
        assert force or (drift is not None and drift > 0.3 and accuracy is not None and accuracy < 0.76)


# --- events -----------------------------------------------------------------------------------------------


def event(drift: Drift | None, cause: Cause | None = Cause.DRIFT, experiment: str | None = "exp") -> Event:
    return Event("t", "1", Workspace("s", "g", "w"), "subject", NOW, experiment=experiment, drift=drift, cause=cause)


def test_v1_event_is_one_signal() -> None:
    """A v1 drift event is one signal with its coefficient."""
    expected = Signal("drift_coefficient", 0.83, "event", NOW, monitor="m")
    assert signals_of(event(Drift("m", coefficient=0.83))) == (expected,)


def test_v2_event_signals_each_breach() -> None:
    """A v2 drift event is one signal for each breach."""
    drift = Drift("s", breaches=(Breach("JensenShannonDistance", 0.31, 0.1, "AGE"), Breach("Recall", None, 0.9)))
    assert signals_of(event(drift)) == (
        Signal("JensenShannonDistance", 0.31, "event", NOW, "AGE", 0.1, "s"),
        Signal("Recall", None, "event", NOW, None, 0.9, "s"),
    )


def test_v2_event_without_details() -> None:
    """A v2 drift event without details is one signal without a value."""
    assert signals_of(event(Drift("s"))) == (Signal(DETAILS_UNKNOWN, None, "event", NOW, monitor="s"),)


def test_monitor_failure_is_a_signal() -> None:
    """A failed monitor is a signal of its own."""
    expected = Signal(MONITOR_FAILED, 1.0, "event", NOW, monitor="exp")
    assert signals_of(event(None, Cause.MONITOR_FAILED)) == (expected,)


@pytest.mark.parametrize(("drift", "cause"), [(None, Cause.DRIFT), (Drift("s", 0.9), Cause.RUN_COMPLETED)])
def test_other_events_have_no_signals(drift: Drift | None, cause: Cause) -> None:
    """An event that is not about drift has no signals."""
    assert signals_of(event(drift, cause)) == ()


def test_monitors_are_listed_once() -> None:
    """The monitors of an event are its signal, then its experiment, each once."""
    assert monitors_of(event(Drift("sig"))) == ("sig", "exp")
    assert monitors_of(event(Drift("EXP"))) == ("EXP",)
    assert monitors_of(event(None, experiment=None)) == ()
