"""Scoring candidate and champion on the same rows, and the gate between them."""

from datetime import datetime

from anew.core.gate import EvaluationResult, GateOutcome, GateResult, judge_gate, parse_evaluation, without_champion
from anew.core.lifecycle import Retraining, RetrainingMove
from anew.core.policy import Policy
from anew.core.tags import EVALUATION_TAG, RETRAINING_TAG, next_version
from anew.engine.context import Engine
from anew.engine.ports import RunStatus, RunView
from anew.engine.transition import fail, move_retraining
from anew.errors import AzureRefused, InvalidEvaluation, InvalidPolicy


def candidate_path(engine: Engine, retraining: Retraining) -> str:
    """Where the training job left its candidate."""
    output = engine.policies.for_model(retraining.model).retrain.output
    return f"azureml://jobs/{retraining.job_name}/outputs/{output}"


def watch_evaluation(engine: Engine, retraining: Retraining, now: datetime) -> Retraining:
    """Start the evaluation, and judge by it when it has completed."""
    policy = engine.policies.for_model(retraining.model)
    if retraining.champion_version is None:
        return _gate(engine, retraining, without_champion(policy.gate), now)
    job = engine.jobs.get(retraining.evaluation_job)
    if job is None:
        return _submit_evaluation(engine, retraining, policy, now)
    match job.status:
        case RunStatus.COMPLETED:
            return _judge(engine, retraining, policy, job, now)
        case RunStatus.FAILED | RunStatus.CANCELED as status:
            return fail(engine, retraining, f"the evaluation {status}: {job.detail}".rstrip(": "), now)
        case RunStatus.RUNNING:
            return retraining


def _submit_evaluation(engine: Engine, retraining: Retraining, policy: Policy, now: datetime) -> Retraining:
    inputs = {
        **policy.evaluate.inputs,
        "champion": f"azureml:{retraining.model}:{retraining.champion_version}",
        "challenger": candidate_path(engine, retraining),
    }
    try:
        engine.jobs.submit(retraining.evaluation_job, policy.evaluate.job, inputs, {RETRAINING_TAG: retraining.id})
    except (AzureRefused, InvalidPolicy) as error:
        return fail(engine, retraining, f"evaluation refused: {error}", now)
    return retraining


def _judge(engine: Engine, retraining: Retraining, policy: Policy, job: RunView, now: datetime) -> Retraining:
    text = job.tags.get(EVALUATION_TAG)
    if text is None:
        return fail(engine, retraining, f"{retraining.evaluation_job} left no tag {EVALUATION_TAG}", now)
    try:
        result: EvaluationResult = parse_evaluation(text)
    except InvalidEvaluation as error:
        return fail(engine, retraining, str(error), now)
    return _gate(engine, retraining, judge_gate(policy.gate, result), now)


def _gate(engine: Engine, retraining: Retraining, gate: GateResult, now: datetime) -> Retraining:
    if gate.outcome is not GateOutcome.PROMOTE:
        reason = f"{gate.outcome}: {gate.sentence}"
        return move_retraining(engine, retraining, RetrainingMove.REJECTED, now, gate=gate, reason=reason)
    version = next_version(item.version for item in engine.registry.versions(retraining.model))
    return move_retraining(engine, retraining, RetrainingMove.PASSED, now, gate=gate, new_version=version)
