"""Deciding whether to retrain, and what an event says that a decision can rest on. Pure: `now` is an argument."""

from datetime import datetime, timedelta
from typing import Any

from anew.core.decision import Decision, Evidence, Force, History, Missing, Node, Outcome, Signal, Verdict
from anew.core.events import Cause, Event
from anew.core.policy import Policy
from anew.core.rules import DETAILS_UNKNOWN, all_of, judge

CLOCK_SKEW = timedelta(minutes=10)  # how far in the future a signal may be and still be believed

_OUTCOMES = {
    Verdict.YES: Outcome.RETRAIN,
    Verdict.NO: Outcome.HOLD,
    Verdict.UNKNOWN: Outcome.INSUFFICIENT_EVIDENCE,
}


def decide(policy: Policy, evidence: Evidence, history: History, now: datetime, force: Force | None = None) -> Decision:
    """Whether to retrain this policy's model now, with the tree of reasons.

    Retrains when the rules fire and nothing holds it back; a guard that holds outweighs rules that cannot tell.
    Force skips rules and cooldown, never the guard against two retrainings at once. All times are aware.
    """
    fresh, dropped = _fresh(evidence.signals, policy.evidence.max_age, now)
    rules = judge(policy.when, Evidence(fresh, evidence.missing))
    cooldown, in_flight = _cooldown(policy, history, now), _in_flight(history)
    conditions = (rules, cooldown, in_flight) if force is None else (_forced(force), in_flight)
    verdict = all_of(node.verdict for node in conditions)
    notes = (*_unavailable(evidence.missing), *_set_aside(dropped, policy.evidence.max_age))
    children = (*conditions, *((rules, cooldown) if force else ()), *notes)
    outcome = _OUTCOMES[verdict]
    deciding = conditions[:1] if verdict is Verdict.YES else conditions  # that no guard holds is no reason
    reasons = "; ".join(node.sentence for node in deciding if node.verdict is verdict)
    values = {"model": policy.model, "outcome": str(outcome), "now": now.isoformat()}
    return Decision(outcome, Node("decision", verdict, f"{outcome}: {reasons}", values, children))


def signals_of(event: Event) -> tuple[Signal, ...]:
    """What a drift event measured: v1 its coefficient, v2 each breach; one signal without a value when the
    monitor's details could not be read. Events that are not about drift have none.
    """
    drift = event.drift
    if drift is None or event.cause is not Cause.DRIFT:
        return ()
    if drift.coefficient is not None:
        return (Signal("drift_coefficient", drift.coefficient, "event", event.time, monitor=drift.monitor),)
    if not drift.breaches:
        return (Signal(DETAILS_UNKNOWN, None, "event", event.time, monitor=drift.monitor),)
    return tuple(
        Signal(each.metric, each.value, "event", event.time, each.feature, each.threshold, drift.monitor)
        for each in drift.breaches
    )


def monitors_of(event: Event) -> tuple[str, ...]:
    """The names under which policies may listen for this event: its monitor and its experiment."""
    names = (event.drift.monitor if event.drift else None, event.experiment)
    return tuple({name.casefold(): name for name in reversed(names) if name}.values())[::-1]


# --- guards -----------------------------------------------------------------------------------------------


def _cooldown(policy: Policy, history: History, now: datetime) -> Node:
    length, last = policy.limits.cooldown, history.last_retraining_at
    values: dict[str, Any] = {"cooldown_seconds": length.total_seconds(), "last": None}
    if last is None:
        return Node("cooldown", Verdict.YES, "the model was never retrained before", values)
    ends = last + length
    values |= {"last": last.isoformat(), "ends": ends.isoformat()}
    if now >= ends:
        return Node("cooldown", Verdict.YES, f"the cooldown of {length} ended at {_moment(ends)}", values)
    return Node("cooldown", Verdict.NO, f"the cooldown of {length} lasts until {_moment(ends)}", values)


def _in_flight(history: History) -> Node:
    values = {"open_retraining": history.open_retraining}
    if history.open_retraining is None:
        return Node("in_flight", Verdict.YES, "no other retraining of the model is under way", values)
    return Node("in_flight", Verdict.NO, f"retraining {history.open_retraining} is still under way", values)


def _forced(force: Force) -> Node:
    sentence = f"asked for by {force.by}: {force.reason}; rules and cooldown do not count"
    return Node("force", Verdict.YES, sentence, {"by": force.by, "reason": force.reason})


def _moment(at: datetime) -> str:
    return at.isoformat(" ", "seconds")


# --- evidence that does not count -------------------------------------------------------------------------


def _fresh(
    signals: tuple[Signal, ...], max_age: timedelta, now: datetime
) -> tuple[tuple[Signal, ...], tuple[Signal, ...]]:
    oldest, newest = now - max_age, now + CLOCK_SKEW
    fresh = tuple(signal for signal in signals if oldest <= signal.at <= newest)
    if len(fresh) == len(signals):
        return fresh, ()
    return fresh, tuple(signal for signal in signals if not oldest <= signal.at <= newest)


def _unavailable(missing: tuple[Missing, ...]) -> tuple[Node, ...]:
    return tuple(
        Node(
            "missing_evidence",
            Verdict.UNKNOWN,
            f"{each.source} gave nothing: {each.reason}",
            {"source": each.source, "reason": each.reason},
        )
        for each in missing
    )


def _set_aside(dropped: tuple[Signal, ...], max_age: timedelta) -> tuple[Node, ...]:
    if not dropped:
        return ()
    values = {"signals": [{"metric": s.metric, "source": s.source, "at": s.at.isoformat()} for s in dropped]}
    names = ", ".join(sorted({s.metric for s in dropped}))
    count = f"{len(dropped)} signal{'s' if len(dropped) > 1 else ''} ({names})"
    sentence = f"left out {count}: older than {max_age}, or from the future"
    return (Node("stale_evidence", Verdict.UNKNOWN, sentence, values),)
