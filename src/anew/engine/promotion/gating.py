"""What follows from the gate's answer: a version, more evidence, a person's word, or the end."""

from dataclasses import replace
from datetime import datetime

from anew.core.gate import GateOutcome, GateResult
from anew.core.policies.gate import Approval, Gate
from anew.core.retrainings.lifecycle import Retraining, RetrainingMove
from anew.engine.base.context import Engine
from anew.engine.base.transition import move_retraining
from anew.engine.serving.versions import champion_version


def decide_by_gate(engine: Engine, retraining: Retraining, result: GateResult, now: datetime) -> Retraining:
    """Go where the policy says after this result."""
    policy = engine.policies.for_model(retraining.model)
    match result.outcome:
        case GateOutcome.PROMOTE if policy.gate.approval is not None:
            return _ask(engine, retraining, policy.gate, result, now)
        case GateOutcome.PROMOTE:
            return move_retraining(engine, retraining, RetrainingMove.PASSED, now, gate=result, reason=None)
        case GateOutcome.REJECT:
            reason = f"{result.outcome}: {result.sentence}"
            return move_retraining(engine, retraining, RetrainingMove.REJECTED, now, gate=result, reason=reason)
        case GateOutcome.INCONCLUSIVE:
            since = retraining.inconclusive_since or now
            # A training tells once what it measured: waiting brings nothing.
            if policy.evaluate.by == "training" or now >= since + policy.gate.inconclusive.keep_for:
                return _resolve_inconclusive(engine, retraining, policy.gate, result, now)
            reason = f"{result.outcome}: {result.sentence}"
            return move_retraining(
                engine,
                retraining,
                RetrainingMove.INCONCLUSIVE,
                now,
                gate=result,
                inconclusive_since=since,
                reason=reason,
            )


def mark_inconclusive(result: GateResult, why: str) -> GateResult:
    """The result as one that settles nothing."""
    return replace(result, outcome=GateOutcome.INCONCLUSIVE, sentence=why)


def reevaluate_when_due(engine: Engine, retraining: Retraining, now: datetime) -> Retraining:
    """Evaluate again when it is time, against what serves then; when all the time is over, give the policy's answer."""
    policy = engine.policies.for_model(retraining.model)
    hold = policy.gate.inconclusive
    if now >= inconclusive_until(retraining, policy.gate):
        result = retraining.gate or GateResult(GateOutcome.INCONCLUSIVE, retraining.reason or "", 0, "")
        return _resolve_inconclusive(engine, retraining, policy.gate, result, now)
    if now < retraining.state_since + hold.every:
        return retraining
    return evaluate_again(engine, retraining, champion_version(engine, policy), now)


def inconclusive_until(retraining: Retraining, gate: Gate) -> datetime:
    """When an inconclusive gate gets its answer."""
    return (retraining.inconclusive_since or retraining.state_since) + gate.inconclusive.keep_for


def evaluate_again(
    engine: Engine, retraining: Retraining, serving: str | None, now: datetime, *, champion_changes: int | None = None
) -> Retraining:
    """Evaluate on the newest rows, against the version that serves now. What was said of another one is void."""
    champion = serving or retraining.champion_version
    return move_retraining(
        engine,
        retraining,
        RetrainingMove.RETRIED,
        now,
        evaluation_job=retraining.next_evaluation_job,
        evaluations=retraining.evaluations + 1,
        champion_version=champion,
        champion_changes=retraining.champion_changes if champion_changes is None else champion_changes,
        gate=retraining.gate if champion == retraining.champion_version else None,
        approval=None,
        approval_by=None,
        approval_reason=None,
        approval_deadline=None,
    )


def await_approval(engine: Engine, retraining: Retraining, now: datetime) -> Retraining:
    """No answer in time is a no. Answers come from people, by `approving`."""
    until = retraining.approval_deadline or retraining.state_since
    if now < until:
        return retraining
    reason = f"nobody answered until {until.isoformat(' ', 'seconds')}, and no answer is a no"
    return move_retraining(engine, retraining, RetrainingMove.REJECTED, now, reason=reason)


def _resolve_inconclusive(
    engine: Engine, retraining: Retraining, gate: Gate, result: GateResult, now: datetime
) -> Retraining:
    if gate.inconclusive.then == "ask":
        return _ask(engine, retraining, gate, result, now)
    reason = f"{result.outcome}: {result.sentence}"
    return move_retraining(engine, retraining, RetrainingMove.REJECTED, now, gate=result, reason=reason)


def _ask(engine: Engine, retraining: Retraining, gate: Gate, result: GateResult, now: datetime) -> Retraining:
    until = now + (gate.approval or Approval()).timeout
    return move_retraining(
        engine, retraining, RetrainingMove.ASKED, now, gate=result, approval_deadline=until, reason=result.sentence
    )
