"""Scoring candidate and champion on the same rows, and what the gate between them says."""

import json
from datetime import datetime

from anew.core.gate import (
    EvaluationResult,
    GateResult,
    at_each_analysis,
    evaluation_of_metrics,
    judge_gate,
    parse_evaluation,
    without_champion,
)
from anew.core.policies.gate import Gate
from anew.core.policies.policy import Policy
from anew.core.retrainings.lifecycle import Retraining
from anew.core.retrainings.lineage_tags import EVALUATION_TAG, RETRAINING_TAG
from anew.engine.base.context import Engine
from anew.engine.base.ports import RunStatus, RunView
from anew.engine.base.transition import fail
from anew.engine.promotion.gating import decide_by_gate, mark_inconclusive
from anew.engine.training.intents import may_appear_late, record_intent
from anew.errors import AzureNotFound, AzureRefused, InvalidEvaluation, InvalidPolicy

_NOT_FOR_THE_JOB = {"without_champion", "inconclusive", "approval"}


def candidate_path(engine: Engine, retraining: Retraining) -> str:
    """Where the training job left its candidate."""
    output = engine.policies.for_model(retraining.model).retrain.output
    return f"azureml://jobs/{retraining.job_name}/outputs/{output}"


def watch_evaluation(engine: Engine, retraining: Retraining, now: datetime) -> Retraining:
    """Have the candidate evaluated, and judge by that when it is done."""
    policy = engine.policies.for_model(retraining.model)
    if retraining.champion_version is None and not policy.gate.floors:
        return decide_by_gate(engine, retraining, without_champion(policy.gate), now)
    if policy.evaluate.by == "training":
        return _judge_by_training(engine, retraining, policy, now)
    job = engine.jobs.get(retraining.evaluation_job)
    if job is None:
        on_its_way = may_appear_late(engine, retraining, now)
        return retraining if on_its_way else _submit_evaluation(engine, retraining, policy, now)
    match job.status:
        case RunStatus.COMPLETED:
            return _judge_by_report(engine, retraining, policy, job, now)
        case RunStatus.FAILED | RunStatus.CANCELED as status:
            return fail(engine, retraining, f"the evaluation {status}: {job.detail}".rstrip(": "), now)
        case RunStatus.RUNNING:
            return retraining


def gate_for_job(gate: Gate) -> str:
    """What an evaluation has to know of the gate, as JSON: written out, for its defaults may be older than ours."""
    document = gate.model_dump(mode="json", by_alias=True, exclude=_NOT_FOR_THE_JOB, exclude_none=True)
    return json.dumps(document, separators=(",", ":"))


# --- by a job ---------------------------------------------------------------------------------------------


def _submit_evaluation(engine: Engine, retraining: Retraining, policy: Policy, now: datetime) -> Retraining:
    inputs = {**policy.evaluate.inputs, "challenger": candidate_path(engine, retraining)}
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
            optional={"gate": gate_for_job(at_each_analysis(policy.gate))},
        )
    except (AzureRefused, InvalidPolicy) as error:
        return fail(engine, retraining, f"evaluation refused: {error}", now)
    return retraining


def _judge_by_report(engine: Engine, retraining: Retraining, policy: Policy, job: RunView, now: datetime) -> Retraining:
    text = job.tags.get(EVALUATION_TAG)
    if text is None:
        return fail(engine, retraining, f"{retraining.evaluation_job} left no tag {EVALUATION_TAG}", now)
    try:
        result = judge_gate(at_each_analysis(policy.gate), _against_champion(retraining, parse_evaluation(text)))
    except InvalidEvaluation as error:
        return fail(engine, retraining, str(error), now)
    if _is_no_news(retraining, result):
        same = f"no new rows since the last evaluation: {result.sentence}"
        return decide_by_gate(engine, retraining, mark_inconclusive(result, same), now)
    return decide_by_gate(engine, retraining, result, now)


def _against_champion(retraining: Retraining, result: EvaluationResult) -> EvaluationResult:
    """The evaluation, which must be a comparison when a version serves, and is none when none does."""
    if retraining.champion_version is None:
        return result.alone()
    if result.champion is None:
        raise InvalidEvaluation(
            f"the report compares with nothing, and version {retraining.champion_version} of {retraining.model} serves"
        )
    return result


def _is_no_news(retraining: Retraining, result: GateResult) -> bool:
    """Whether it was held before on these very rows, against the same version: drawing again is no evidence."""
    return (
        retraining.inconclusive_since is not None
        and retraining.gate is not None  # of another champion it is dropped
        and retraining.gate.data_hash == result.data_hash
    )


# --- by the training itself -------------------------------------------------------------------------------


def _judge_by_training(engine: Engine, retraining: Retraining, policy: Policy, now: datetime) -> Retraining:
    try:
        view = engine.jobs.get(retraining.job_name)
        text = view.tags.get(EVALUATION_TAG) if view else None
        if text is not None:
            result = parse_evaluation(text)
        else:
            result = evaluation_of_metrics(engine.jobs.metrics(retraining.job_name), policy.gate)
        judged = judge_gate(policy.gate, _against_champion(retraining, result))
    except (InvalidEvaluation, AzureNotFound) as error:
        return fail(engine, retraining, str(error), now)
    if retraining.champion_changes:
        other = f"the training compared with another version than {retraining.champion_version}, which serves now"
        judged = mark_inconclusive(judged, other)
    return decide_by_gate(engine, retraining, judged, now)
