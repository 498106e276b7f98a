"""Registering a candidate that passed, under a version fixed beforehand."""

from datetime import datetime
from typing import Any

from anew.core.lifecycle import Retraining, RetrainingMove
from anew.core.policy import Policy
from anew.core.tags import RETRAINING_TAG, next_version, registration_tags
from anew.engine.context import Engine
from anew.engine.evaluating import candidate_path
from anew.engine.ports import ModelVersion
from anew.engine.transition import fail, move_retraining, note_retraining
from anew.errors import AzureRefused


def register(engine: Engine, retraining: Retraining, now: datetime) -> Retraining:
    """Register the version, or find that it is registered; one that somebody else took is left to them."""
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
                return fail(engine, retraining, f"registration refused: {error}", now)
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
