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
    assert decide(POLICY, gathered, history, NOW).outcome is expected


def test_force_skips_rules_and_cooldown() -> None:
    decision = decide(POLICY, evidence(drift=0.1), retrained(NOW), NOW, FORCE)
    assert decision.outcome is Outcome.RETRAIN
    assert decision.tree.sentence.startswith("retrain: asked for by ada: new schema")
    assert {node.rule for node in decision.tree.children} == {"force", "in_flight", "all", "cooldown"}


def test_force_never_starts_a_second_retraining() -> None:
    decision = decide(POLICY, evidence(), OPEN, NOW, FORCE)
    assert decision.outcome is Outcome.HOLD
    assert "r1 is still under way" in decision.tree.sentence


def test_a_hold_names_when_the_cooldown_ends() -> None:
    decision = decide(POLICY, evidence(), retrained(NOW - HOUR / 2), NOW)
    assert decision.tree.sentence == "hold: the cooldown of 1:00:00 lasts until 2026-07-14 12:30:00+00:00"


@pytest.mark.parametrize("age", [timedelta(days=30, seconds=1), -CLOCK_SKEW - timedelta(seconds=1)])
def test_stale_and_future_signals_are_left_out_and_reported(age: timedelta) -> None:
    decision = decide(POLICY, evidence(age=age), History(), NOW)
    assert decision.outcome is Outcome.INSUFFICIENT
    assert "left out 2 signals (accuracy, drift_coefficient)" in child(decision, "stale_evidence").sentence


@pytest.mark.parametrize("age", [timedelta(days=30), -CLOCK_SKEW])
def test_signals_at_the_edge_of_the_window_still_count(age: timedelta) -> None:
    assert decide(POLICY, evidence(age=age), History(), NOW).outcome is Outcome.RETRAIN


def test_missing_evidence_is_in_the_tree_with_its_reason() -> None:
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
def test_never_retrains_while_one_is_open_and_the_root_agrees_with_the_outcome(
    drift: float | None, accuracy: float | None, history: History, force: Force | None
) -> None:
    decision = decide(POLICY, evidence(drift, accuracy), history, NOW, force)
    assert (decision.outcome is Outcome.RETRAIN) == (decision.tree.verdict is Verdict.YES)
    if decision.outcome is Outcome.RETRAIN:
        assert all(attempt.state is not AttemptState.OPEN for attempt in history.attempts)
        assert force or (drift is not None and drift > 0.3 and accuracy is not None and accuracy < 0.76)


# --- events -----------------------------------------------------------------------------------------------


def event(drift: Drift | None, cause: Cause | None = Cause.DRIFT, experiment: str | None = "exp") -> Event:
    return Event("t", "1", Workspace("s", "g", "w"), "subject", NOW, experiment=experiment, drift=drift, cause=cause)


def test_a_v1_event_is_one_signal_of_its_coefficient() -> None:
    expected = Signal("drift_coefficient", 0.83, "event", NOW, monitor="m")
    assert signals_of(event(Drift("m", coefficient=0.83))) == (expected,)


def test_a_v2_event_is_a_signal_for_each_breach() -> None:
    drift = Drift("s", breaches=(Breach("JensenShannonDistance", 0.31, 0.1, "AGE"), Breach("Recall", None, 0.9)))
    assert signals_of(event(drift)) == (
        Signal("JensenShannonDistance", 0.31, "event", NOW, "AGE", 0.1, "s"),
        Signal("Recall", None, "event", NOW, None, 0.9, "s"),
    )


def test_a_v2_event_without_details_is_one_signal_without_value() -> None:
    assert signals_of(event(Drift("s"))) == (Signal(DETAILS_UNKNOWN, None, "event", NOW, monitor="s"),)


def test_a_monitor_that_failed_is_a_signal_of_that() -> None:
    expected = Signal(MONITOR_FAILED, 1.0, "event", NOW, monitor="exp")
    assert signals_of(event(None, Cause.MONITOR_FAILED)) == (expected,)


@pytest.mark.parametrize(("drift", "cause"), [(None, Cause.DRIFT), (Drift("s", 0.9), Cause.RUN_COMPLETED)])
def test_an_event_that_is_not_about_drift_has_no_signals(drift: Drift | None, cause: Cause) -> None:
    assert signals_of(event(drift, cause)) == ()


def test_monitors_are_signal_then_experiment_once_each() -> None:
    assert monitors_of(event(Drift("sig"))) == ("sig", "exp")
    assert monitors_of(event(Drift("EXP"))) == ("EXP",)
    assert monitors_of(event(None, experiment=None)) == ()
