"""Deciding whether to retrain: a pure function of policy, evidence, history and now, that returns its explanation."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from anew.core.base.metrics import DETAILS_UNKNOWN, MONITOR_FAILED
from anew.core.decisions.decision import Decision, Outcome
from anew.core.decisions.limits import ROLLBACK, judge_hard_limits, judge_limits, judge_rollback
from anew.core.events.event import Cause, Event
from anew.core.evidence.facts import Facts, arrange, series_of
from anew.core.evidence.history import Force, History
from anew.core.evidence.signals import Evidence, Missing, Signal
from anew.core.evidence.tree import Node, Verdict, all_of
from anew.core.policies.evidence import EvidenceRules
from anew.core.policies.policy import Policy
from anew.core.rules.rule import Judge, compile_rule

_BLOCK = "block_when"
_STOPS = {Verdict.NO: Outcome.BLOCKED, Verdict.ERROR: Outcome.ERROR}
_INSTEAD = {Verdict.YES: Outcome.ROLL_BACK, Verdict.UNKNOWN: Outcome.HOLD}
CLOCK_SKEW = timedelta(minutes=10)  # how far in the future a signal may be and still be believed


@dataclass(frozen=True, slots=True)
class CompiledPolicy:
    """A policy with its rules as functions."""

    policy: Policy
    when: Judge
    block_when: Judge | None


def compile_policy(policy: Policy) -> CompiledPolicy:
    """The policy ready to decide by, as often as wanted."""
    cost = policy.retrain.cost
    block = None if policy.block_when is None else compile_rule(policy.block_when, cost)
    return CompiledPolicy(policy, compile_rule(policy.when, cost), block)


def decide(
    compiled: CompiledPolicy, evidence: Evidence, history: History, now: datetime, force: Force | None = None
) -> Decision:
    """Whether to retrain this policy's model now, with the tree of reasons. All times are aware.

    Retrains when the rules fire and no limit holds it back. A block outweighs everything; a limit that holds outweighs
    rules that cannot tell. Force sets aside rules, cooldown, counts and freezes; never the block, the budget, or the
    guard against two retrainings at once. Going back from a release, where the policy prefers that, asks for rules that
    fire alone: limits are about trainings.
    """
    policy = compiled.policy
    counted, notes = _counted(evidence, policy.evidence, now)
    facts = arrange(counted, history, now)
    rules = compiled.when(facts)
    soft, hard = judge_limits(policy.limits, history, now), judge_hard_limits(policy.limits, history, now)
    conditions = (rules, *soft, *hard) if force is None else (_forced(force), *hard)
    verdict = all_of([node.verdict for node in conditions])
    block = None if compiled.block_when is None else _block(compiled.block_when, facts)
    asked = policy.limits.prefer_rollback is not None and force is None and rules.verdict is Verdict.YES
    back = judge_rollback(policy.limits, history, now) if asked else None
    outcome, first = _outweighing(block, back) or (_outcome(verdict, policy.evidence), None)
    if first is not None:
        verdict, conditions = first.verdict, (first, *conditions)
    notes = (*(each for each in (block, back) if each is not None and each is not first), *notes)
    children = (*conditions, *((rules, *soft) if force else ()), *notes)
    return Decision(outcome, _root(policy, outcome, verdict, conditions, children, now), policy.mode == "shadow")


def signals_of(event: Event) -> tuple[Signal, ...]:
    """What an event of a monitor says: v1 its coefficient, v2 each breach; one signal without a value when the
    details could not be read, and one for a monitor that failed. Other events say nothing.
    """
    if event.cause is Cause.MONITOR_FAILED:
        return (Signal(MONITOR_FAILED, 1.0, "event", event.time, monitor=event.experiment or event.run_id),)
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


# --- the whole --------------------------------------------------------------------------------------------


def _outweighing(block: Node | None, back: Node | None) -> tuple[Outcome, Node] | None:
    """What decides whatever the rules and limits say."""
    if block is not None and block.verdict in _STOPS:
        return _STOPS[block.verdict], block
    if back is not None and back.verdict in _INSTEAD:
        return _INSTEAD[back.verdict], back
    return None


def _outcome(verdict: Verdict, rules: EvidenceRules) -> Outcome:
    match verdict:
        case Verdict.YES:
            return Outcome.RETRAIN
        case Verdict.NO:
            return Outcome.HOLD
        case Verdict.UNKNOWN:
            return Outcome(rules.on_missing)
        case Verdict.ERROR:
            return Outcome.ERROR


def _root(
    policy: Policy,
    outcome: Outcome,
    verdict: Verdict,
    conditions: Sequence[Node],
    children: tuple[Node, ...],
    now: datetime,
) -> Node:
    # That no limit holds is no reason to retrain, and where a block or a rollback decides nothing else does.
    first_decides = outcome is Outcome.RETRAIN or conditions[0].rule in (_BLOCK, ROLLBACK)
    deciding = conditions[:1] if first_decides else conditions
    shadow = " (shadow: nothing is started)" if policy.mode == "shadow" else ""
    reasons = "; ".join(node.sentence for node in deciding if node.verdict is verdict)
    values = {"model": policy.model, "outcome": str(outcome), "mode": policy.mode, "now": now.isoformat()}
    return Node("decision", verdict, f"{outcome}{shadow}: {reasons}", values, children)


def _block(judge: Judge, facts: Facts) -> Node:
    """NO when the block fires. A value that was not measured does not block, because monitors report breaches and not
    their absence; a block that cannot be evaluated does.
    """
    child = judge(facts)
    verdict = {Verdict.YES: Verdict.NO, Verdict.NO: Verdict.YES}.get(child.verdict, child.verdict)
    words = {Verdict.NO: "blocked", Verdict.YES: "not blocked"}.get(verdict, "not blocked, though it cannot tell")
    return Node(_BLOCK, verdict, f"{words}: {child.sentence}", children=(child,))


def _forced(force: Force) -> Node:
    sentence = f"asked for by {force.by}: {force.reason}; rules, cooldown, counts and freezes do not count"
    return Node("force", Verdict.YES, sentence, {"by": force.by, "reason": force.reason})


# --- evidence that does not count -------------------------------------------------------------------------


def _counted(evidence: Evidence, rules: EvidenceRules, now: datetime) -> tuple[Sequence[Signal], tuple[Node, ...]]:
    """The signals that count, and notes about those that do not and about what could not be had.

    A series whose newest reading is too old does not count; older readings of a fresh one are its history.
    """
    oldest, newest, least = now - rules.max_age, now + CLOCK_SKEW, rules.min_rows
    counted: list[Signal] = []
    early: list[Signal] = []
    stale: list[Signal] = []
    small: list[Signal] = []
    for signal in evidence.signals:
        if least and signal.rows is not None and signal.rows < least:
            small.append(signal)
        elif signal.at > newest:
            stale.append(signal)
        else:
            (counted if signal.at >= oldest else early).append(signal)
    if early:
        alive = {(signal.metric, *series_of(signal)) for signal in counted}
        for signal in early:
            (counted if (signal.metric, *series_of(signal)) in alive else stale).append(signal)
    if not (stale or small or evidence.missing):
        return counted, ()
    notes = tuple(_unavailable(missing) for missing in evidence.missing)
    notes += _set_aside("stale_evidence", stale, f"older than {rules.max_age}, or from the future")
    return counted, notes + _set_aside("small_evidence", small, f"computed from fewer than {least} rows")


def _unavailable(missing: Missing) -> Node:
    told = f"{missing.source} gave nothing: {missing.reason}"
    return Node("missing_evidence", Verdict.UNKNOWN, told, {"source": missing.source, "reason": missing.reason})


def _set_aside(rule: str, signals: Sequence[Signal], why: str) -> tuple[Node, ...]:
    if not signals:
        return ()
    values = {"signals": [{"metric": s.metric, "source": s.source, "at": s.at.isoformat()} for s in signals]}
    names = ", ".join(sorted({s.metric for s in signals}))
    count = f"{len(signals)} signal{'s' if len(signals) > 1 else ''} ({names})"
    return (Node(rule, Verdict.UNKNOWN, f"left out {count}: {why}", values),)
