"""The state `evaluating`: score candidate and champion on the same rows, and follow the gate."""

import json
from datetime import datetime

from anew.core.gate import GateResult, at_each_analysis, evaluation_of_metrics, parse_evaluation, without_champion
from anew.core.policies.gate import Gate
from anew.core.policies.policy import Policy
from anew.core.retrainings.gating import after_gate, judge_evaluation, judge_training
from anew.core.retrainings.lifecycle import Retraining
from anew.core.retrainings.lineage_tags import EVALUATION_TAG, RETRAINING_TAG
from anew.engine.base.context import Engine
from anew.engine.base.ports import RunStatus, RunView
from anew.engine.base.transition import fail, move_retraining
from anew.engine.training.launching import may_appear_late, record_intent
from anew.errors import AzureNotFound, AzureRefused, InvalidEvaluation, InvalidPolicy


def watch_evaluation(engine: Engine, retraining: Retraining, now: datetime) -> Retraining:
    """Submit the evaluation, unless the training reports it or there is nothing to evaluate; once it has ended, judge
    it and make the move that follows.
    """
    policy = engine.policies.for_model(retraining.model)
    try:
        if retraining.champion_version is None and not policy.gate.floors:
            result = without_champion(policy.gate)
        elif policy.evaluate.by == "training":
            result = _judge_training(engine, retraining, policy)
        else:
            job = engine.jobs.get(retraining.evaluation_job)
            if job is None:
                waits = may_appear_late(engine, retraining, now)
                return retraining if waits else _submit_evaluation(engine, retraining, policy, now)
            if job.status is RunStatus.RUNNING:
                return retraining
            result = _judge_job(retraining, policy, job)
    except InvalidEvaluation as error:
        return fail(engine, retraining, str(error), now)
    move, changes = after_gate(retraining, policy, result, now)
    return move_retraining(engine, retraining, move, now, **changes)


def _gate_for_job(gate: Gate) -> str:
    """The gate as JSON for an evaluation job, with every default, because the job may run an older anew."""
    not_for_the_job = {"without_champion", "inconclusive", "approval"}
    document = gate.model_dump(mode="json", by_alias=True, exclude=not_for_the_job, exclude_none=True)
    return json.dumps(document, separators=(",", ":"))


def _submit_evaluation(engine: Engine, retraining: Retraining, policy: Policy, now: datetime) -> Retraining:
    inputs = {**policy.evaluate.inputs, "challenger": retraining.candidate_path(policy.retrain.output)}
    if retraining.champion_version is not None:
        inputs["champion"] = f"azureml:{retraining.model}:{retraining.champion_version}"
    retraining, send_before = record_intent(engine, retraining, "evaluation-intended", now)
    try:
        engine.jobs.submit(
            retraining.evaluation_job,
            policy.evaluate.job or "",
            inputs,
            {RETRAINING_TAG: retraining.id},
            send_before,
            optional={"gate": _gate_for_job(at_each_analysis(policy.gate))},
        )
    except (AzureRefused, InvalidPolicy) as error:
        return fail(engine, retraining, f"evaluation refused: {error}", now)
    return retraining


def _judge_job(retraining: Retraining, policy: Policy, job: RunView) -> GateResult:
    if job.status is not RunStatus.COMPLETED:
        raise InvalidEvaluation(f"the evaluation {job.status}: {job.detail}".rstrip(": "))
    text = job.tags.get(EVALUATION_TAG)
    if text is None:
        raise InvalidEvaluation(f"{retraining.evaluation_job} left no tag {EVALUATION_TAG}")
    return judge_evaluation(retraining, policy.gate, parse_evaluation(text))


def _judge_training(engine: Engine, retraining: Retraining, policy: Policy) -> GateResult:
    """Judge the report in the tag of the training job, or else the metrics that it logged."""
    try:
        job = engine.jobs.get(retraining.job_name)
        text = job.tags.get(EVALUATION_TAG) if job else None
        if text is not None:
            evaluation = parse_evaluation(text)
        else:
            evaluation = evaluation_of_metrics(engine.jobs.metrics(retraining.job_name), policy.gate)
    except AzureNotFound as error:
        raise InvalidEvaluation(str(error)) from error
    return judge_training(retraining, policy.gate, evaluation)
