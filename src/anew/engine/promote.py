"""From a finished training to a registered version: evaluate, gate, register."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from anew.core.events import Event
from anew.core.gate import EvaluationResult, GateOutcome, GateResult, judge_gate, parse_evaluation, without_champion
from anew.core.lifecycle import OPEN_RETRAINING, Retraining, RetrainingMove, RetrainingState
from anew.core.policy import Policy
from anew.core.tags import EVALUATION_TAG, RETRAINING_TAG, matching_rule, next_version, registration_tags
from anew.engine.context import Engine
from anew.engine.intake import ACTS_ON
from anew.engine.ports import EndpointView, ModelVersion, RunStatus, RunView
from anew.engine.retrain import launch, order_of
from anew.engine.transition import move_retraining, note_retraining
from anew.errors import AnewError, AzureRefused, InvalidEvaluation, InvalidPolicy, StaleWrite, UnknownModel

_STEPS_AT_MOST = 8


@dataclass(frozen=True, slots=True)
class PromoteReport:
    """Retrainings looked at in this pass, as they stand now, and what could not be done yet."""

    retrainings: tuple[Retraining, ...] = ()
    others: int = 0
    deferred: tuple[str, ...] = ()


def promote(engine: Engine, now: datetime) -> PromoteReport:
    """Advance the retrainings whose runs ended. Runs of others are settled as not ours."""
    entries = engine.ledger.claim(ACTS_ON["promote"], now, engine.timing.claim_lease)
    ours: dict[str, Retraining] = {}
    deferred: list[str] = []
    others = 0
    for entry in entries:
        retraining = _ours(engine, entry.event)
        if retraining is None:
            others += 1
            engine.ledger.settle([entry.key], "not a run of ours", now)
            continue
        try:
            ours[retraining.id] = advance_retraining(engine, retraining, now)
            engine.ledger.settle([entry.key], f"advanced retraining {retraining.id}", now, retraining.id)
        except AnewError as error:  # one entry that cannot be answered must not hold up the others
            engine.ledger.release([entry.key])
            deferred.append(f"{retraining.id}: {error}")
    return PromoteReport(tuple(ours.values()), others, tuple(deferred))


def _ours(engine: Engine, event: Event) -> Retraining | None:
    by_job = engine.ledger.retraining_by_job(event.run_id or "")
    if by_job is not None:
        return by_job
    claimed = (event.tags or {}).get(RETRAINING_TAG)
    return engine.ledger.retraining(claimed) if claimed else None


def advance_retraining(engine: Engine, retraining: Retraining, now: datetime) -> Retraining:
    """Take every step this retraining is ready for; each is safe to repeat.

    Raises TemporaryError when Azure or the ledger cannot be asked; what was recorded stays.
    """
    for _ in range(_STEPS_AT_MOST):
        try:
            moved = _step(engine, retraining, now)
        except StaleWrite:
            return engine.ledger.retraining(retraining.id) or retraining
        except UnknownModel as error:
            return move_retraining(engine, retraining, RetrainingMove.FAILED, now, reason=str(error))
        if moved.revision == retraining.revision or moved.state not in OPEN_RETRAINING:
            return moved
        retraining = moved
    return retraining


def _step(engine: Engine, retraining: Retraining, now: datetime) -> Retraining:
    match retraining.state:
        case RetrainingState.LAUNCHING:
            return launch(engine, retraining, now)
        case RetrainingState.TRAINING:
            return _watch_training(engine, retraining, now)
        case RetrainingState.EVALUATING:
            return _watch_evaluation(engine, retraining, now)
        case RetrainingState.REGISTERING:
            return _register(engine, retraining, now)
        case RetrainingState.REGISTERED | RetrainingState.REJECTED | RetrainingState.FAILED:
            return retraining


# --- training ---------------------------------------------------------------------------------------------


def _watch_training(engine: Engine, retraining: Retraining, now: datetime) -> Retraining:
    policy = engine.policies.for_model(retraining.model)
    view = _training_view(engine, retraining)
    match view.status if view else RunStatus.RUNNING:
        case RunStatus.COMPLETED:
            champion = champion_version(engine, policy)
            return move_retraining(engine, retraining, RetrainingMove.TRAINED, now, champion_version=champion)
        case RunStatus.FAILED | RunStatus.CANCELED as status:
            detail = view.detail if view else ""
            return _fail(engine, retraining, f"the training run {status}: {detail}".rstrip(": "), now)
        case RunStatus.RUNNING:
            if now > retraining.state_since + policy.retrain.timeout:
                run = retraining.external_run_id
                return _fail(engine, retraining, f"run {run} did not end within {policy.retrain.timeout}", now)
            return retraining


def _training_view(engine: Engine, retraining: Retraining) -> RunView | None:
    job = engine.jobs.get(retraining.job_name)
    if job is not None:
        return job
    run = engine.launchers[retraining.launcher].view(order_of(engine, retraining), retraining.external_run_id or "")
    if run is None or run.status is not RunStatus.COMPLETED:
        return run
    return RunView(RunStatus.FAILED, {}, f"the pipeline succeeded, but no Azure ML job is named {retraining.job_name}")


def _fail(engine: Engine, retraining: Retraining, reason: str, now: datetime) -> Retraining:
    return move_retraining(engine, retraining, RetrainingMove.FAILED, now, reason=reason)


def champion_version(engine: Engine, policy: Policy) -> str | None:
    """The version that serves most of the traffic where this policy's new versions would go; None when none does."""
    index = matching_rule(policy, policy.register_.tags)
    rules = policy.deploy if index is None else (policy.deploy[index],)
    for rule in rules:
        served = served_version(engine.endpoints.view(rule.endpoint), policy.model)
        if served is not None:
            return served
    return None


def served_version(view: EndpointView | None, model: str) -> str | None:
    """The version of the model with the largest share of an endpoint's traffic."""
    if view is None:
        return None
    shares = [(share, view.models.get(name) or "") for name, share in view.traffic.items() if share > 0]
    for _, served in sorted(shares, reverse=True):
        name, _, version = served.partition(":")
        if name.casefold() == model.casefold() and version:
            return version
    return None


# --- evaluation -------------------------------------------------------------------------------------------


def candidate_path(engine: Engine, retraining: Retraining) -> str:
    """Where the training job left its candidate."""
    output = engine.policies.for_model(retraining.model).retrain.output
    return f"azureml://jobs/{retraining.job_name}/outputs/{output}"


def _watch_evaluation(engine: Engine, retraining: Retraining, now: datetime) -> Retraining:
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
            return _fail(engine, retraining, f"the evaluation {status}: {job.detail}".rstrip(": "), now)
        case RunStatus.RUNNING:
            if now > retraining.state_since + policy.evaluate.timeout:
                job_name = retraining.evaluation_job
                return _fail(engine, retraining, f"{job_name} did not end within {policy.evaluate.timeout}", now)
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
        return _fail(engine, retraining, f"evaluation refused: {error}", now)
    return retraining


def _judge(engine: Engine, retraining: Retraining, policy: Policy, job: RunView, now: datetime) -> Retraining:
    text = job.tags.get(EVALUATION_TAG)
    if text is None:
        return _fail(engine, retraining, f"{retraining.evaluation_job} left no tag {EVALUATION_TAG}", now)
    try:
        result: EvaluationResult = parse_evaluation(text)
    except InvalidEvaluation as error:
        return _fail(engine, retraining, str(error), now)
    return _gate(engine, retraining, judge_gate(policy.gate, result), now)


def _gate(engine: Engine, retraining: Retraining, gate: GateResult, now: datetime) -> Retraining:
    if gate.outcome is not GateOutcome.PROMOTE:
        reason = f"{gate.outcome}: {gate.sentence}"
        return move_retraining(engine, retraining, RetrainingMove.REJECTED, now, gate=gate, reason=reason)
    version = next_version(item.version for item in engine.registry.versions(retraining.model))
    return move_retraining(engine, retraining, RetrainingMove.PASSED, now, gate=gate, new_version=version)


# --- registration -----------------------------------------------------------------------------------------


def _register(engine: Engine, retraining: Retraining, now: datetime) -> Retraining:
    policy = engine.policies.for_model(retraining.model)
    version = ModelVersion(
        retraining.model,
        retraining.new_version or "1",
        _tags(engine, retraining, policy),
        candidate_path(engine, retraining),
    )
    known = engine.registry.get(version.model, version.version)
    if known is None:
        try:
            engine.registry.register(version, policy.retrain.output_type, _description(retraining))
        except AzureRefused as error:
            # Refused, or somebody registered this version just now: only looking again tells which.
            known = engine.registry.get(version.model, version.version)
            if known is None:
                return _fail(engine, retraining, f"registration refused: {error}", now)
    if known is not None and known.tags.get(RETRAINING_TAG) != retraining.id:
        return _choose_another(engine, retraining, known.version, now)
    return move_retraining(engine, retraining, RetrainingMove.REGISTERED, now)


def _choose_another(engine: Engine, retraining: Retraining, taken: str, now: datetime) -> Retraining:
    # The version taken counts too, for an archived one is not listed.
    versions = [taken, *(item.version for item in engine.registry.versions(retraining.model))]
    return note_retraining(engine, retraining, "version-taken", now, new_version=next_version(versions))


def _description(retraining: Retraining) -> str:
    return f"Retrained by anew, decision {retraining.decision_id}. Why: anew explain {retraining.decision_id}"


def _tags(engine: Engine, retraining: Retraining, policy: Policy) -> dict[str, str]:
    job = engine.jobs.get(retraining.job_name)
    data_hash: Any = (job.tags if job else {}).get("data_hash", "")
    return registration_tags(
        policy,
        retraining_id=retraining.id,
        decision_id=retraining.decision_id,
        training_run=retraining.job_name,
        external_run=retraining.external_run_id or "",
        evaluation_run=retraining.evaluation_job if retraining.champion_version else "",
        parent_version=retraining.champion_version or "",
        data_hash=str(data_hash),
        gate=retraining.gate,
    )
