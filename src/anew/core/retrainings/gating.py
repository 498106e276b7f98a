"""What an evaluation says about a candidate, and the move that follows from it and the policy."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from anew.core.gate import EvaluationResult, GateOutcome, GateResult, at_each_analysis, judge_gate
from anew.core.policies.gate import Approval, Gate
from anew.core.policies.policy import Policy
from anew.core.retrainings.lifecycle import Retraining, RetrainingMove
from anew.errors import InvalidEvaluation

CHAMPION_CHANGES_AT_MOST = 3


class NextMove(NamedTuple):
    """A move, and the fields of the retraining that change with it."""

    move: RetrainingMove
    changes: Mapping[str, Any]


def judge_evaluation(retraining: Retraining, gate: Gate, evaluation: EvaluationResult) -> GateResult:
    """The result of the gate on what an evaluation job reported. Raises InvalidEvaluation.

    Inconclusive on the same rows as before, against the same champion: repeating a comparison adds no evidence.
    """
    result = judge_gate(at_each_analysis(gate), _against_champion(retraining, evaluation))
    previous = retraining.gate  # None when the champion has changed since
    if retraining.inconclusive_since is None or previous is None or previous.data_hash != result.data_hash:
        return result
    return _inconclusive(result, f"no new rows since the last evaluation: {result.sentence}")


def judge_training(retraining: Retraining, gate: Gate, evaluation: EvaluationResult) -> GateResult:
    """The result of the gate on what the training itself reported, once. Raises InvalidEvaluation."""
    result = judge_gate(gate, _against_champion(retraining, evaluation))
    if not retraining.champion_changes:
        return result
    champion = retraining.champion_version
    return _inconclusive(result, f"the training compared with another version than {champion}, now in production")


def after_gate(retraining: Retraining, policy: Policy, result: GateResult, now: datetime) -> NextMove:
    """Register the candidate, reject it, ask a person, or wait for more rows."""
    match result.outcome:
        case GateOutcome.PROMOTE if policy.gate.approval is not None:
            return _request_approval(policy.gate, result, now)
        case GateOutcome.PROMOTE:
            return NextMove(RetrainingMove.PASSED, {"gate": result, "reason": None})
        case GateOutcome.REJECT:
            return _reject(result)
        case GateOutcome.INCONCLUSIVE:
            since = retraining.inconclusive_since or now
            # A training reports once: waiting would bring no new rows.
            if policy.evaluate.by == "training" or now >= since + policy.gate.inconclusive.keep_for:
                return _resolve(policy.gate, result, now)
            changes = {"gate": result, "inconclusive_since": since, "reason": _reason(result)}
            return NextMove(RetrainingMove.INCONCLUSIVE, changes)


def after_waiting(retraining: Retraining, gate: Gate, now: datetime) -> NextMove:
    """Resolve a gate that is still inconclusive when its time is over."""
    result = retraining.gate or GateResult(GateOutcome.INCONCLUSIVE, retraining.reason or "", 0, "")
    return _resolve(gate, result, now)


def inconclusive_until(retraining: Retraining, gate: Gate) -> datetime:
    """When a gate that is still inconclusive is resolved."""
    return (retraining.inconclusive_since or retraining.state_since) + gate.inconclusive.keep_for


def after_champion_change(retraining: Retraining, champion: str) -> NextMove:
    """Evaluate again: a result against one version proves nothing about another. Reject the candidate when this has
    happened too often, because it might never end.
    """
    changes = retraining.champion_changes + 1
    if changes <= CHAMPION_CHANGES_AT_MOST:
        return evaluate_again(replace(retraining, champion_changes=changes), champion)
    reason = f"another version went live {changes} times after the gate had passed; now it is version {champion}"
    return NextMove(RetrainingMove.REJECTED, {"reason": reason})


def evaluate_again(retraining: Retraining, champion: str | None) -> NextMove:
    """Evaluate on the newest rows against this champion, by default the same one. An approval is void, and so is a
    result against another champion.
    """
    champion = champion or retraining.champion_version
    changes = {
        "evaluation_job": retraining.next_evaluation_job,
        "evaluations": retraining.evaluations + 1,
        "champion_version": champion,
        "champion_changes": retraining.champion_changes,
        "gate": retraining.gate if champion == retraining.champion_version else None,
        **dict.fromkeys(("approval", "approval_by", "approval_reason", "approval_deadline")),
    }
    return NextMove(RetrainingMove.RETRIED, changes)


def _against_champion(retraining: Retraining, evaluation: EvaluationResult) -> EvaluationResult:
    """The evaluation, which has to be a comparison if, and only if, there is a champion."""
    if retraining.champion_version is None:
        return evaluation.alone()
    if evaluation.champion is None:
        raise InvalidEvaluation(
            f"the report has no champion, but version {retraining.champion_version} of {retraining.model} "
            "is in production"
        )
    return evaluation


def _inconclusive(result: GateResult, why: str) -> GateResult:
    return replace(result, outcome=GateOutcome.INCONCLUSIVE, sentence=why)


def _resolve(gate: Gate, result: GateResult, now: datetime) -> NextMove:
    return _request_approval(gate, result, now) if gate.inconclusive.then == "ask" else _reject(result)


def _request_approval(gate: Gate, result: GateResult, now: datetime) -> NextMove:
    until = now + (gate.approval or Approval()).timeout
    changes = {"gate": result, "approval_deadline": until, "reason": result.sentence}
    return NextMove(RetrainingMove.ASKED, changes)


def _reject(result: GateResult) -> NextMove:
    return NextMove(RetrainingMove.REJECTED, {"gate": result, "reason": _reason(result)})


def _reason(result: GateResult) -> str:
    return f"{result.outcome}: {result.sentence}"
