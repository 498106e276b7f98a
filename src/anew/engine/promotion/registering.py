"""Registering a candidate that passed, under a version fixed beforehand."""

from datetime import datetime

from anew.core.base.versions import next_version
from anew.core.policies.policy import Policy
from anew.core.retrainings.lifecycle import ApprovalDecision, Retraining, RetrainingMove
from anew.core.retrainings.lineage_tags import RETRAINING_TAG, registration_tags
from anew.engine.base.context import Engine
from anew.engine.base.ports import ModelVersion
from anew.engine.base.transition import fail, move_retraining, note_retraining
from anew.engine.promotion.evaluating import candidate_path
from anew.engine.promotion.gating import evaluate_again
from anew.engine.serving.versions import champion_version
from anew.errors import AzureRefused

CHAMPION_CHANGES_AT_MOST = 3


def register(engine: Engine, retraining: Retraining, now: datetime) -> Retraining:
    """Register the version, or find that it is registered; one that somebody else took is left to them."""
    policy = engine.policies.for_model(retraining.model)
    known: ModelVersion | None = None
    if retraining.new_version is None:
        compared = _compare_with_who_serves(engine, retraining, policy, now)
        if compared is not retraining:
            return compared
        retraining = _choose_version(engine, retraining, now)
    else:
        known = engine.registry.get(retraining.model, retraining.new_version)
    if known is None:
        version = _version(engine, retraining, policy)
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


def _compare_with_who_serves(engine: Engine, retraining: Retraining, policy: Policy, now: datetime) -> Retraining:
    """Evaluate again when another version went live since: what passed against one proves nothing about the other.

    Not once a version was chosen, which may be registered by then. Several times in a row is given up, for it would
    never end.
    """
    if retraining.approval is ApprovalDecision.FORCED:
        return retraining
    serving = champion_version(engine, policy)
    if serving is None or serving == retraining.champion_version:
        return retraining
    if retraining.champion_changes >= CHAMPION_CHANGES_AT_MOST:
        times = f"{retraining.champion_changes + 1} times"
        reason = f"another version went live {times} after the gate had passed; now it is version {serving}"
        return move_retraining(engine, retraining, RetrainingMove.REJECTED, now, reason=reason)
    return evaluate_again(engine, retraining, serving, now, champion_changes=retraining.champion_changes + 1)


def _choose_version(engine: Engine, retraining: Retraining, now: datetime) -> Retraining:
    version = next_version(item.version for item in engine.registry.versions(retraining.model))
    return note_retraining(engine, retraining, "version-chosen", now, new_version=version)


def _choose_another(engine: Engine, retraining: Retraining, taken: str, now: datetime) -> Retraining:
    # The version taken counts too, for an archived one is not listed.
    versions = [taken, *(item.version for item in engine.registry.versions(retraining.model))]
    return note_retraining(engine, retraining, "version-taken", now, new_version=next_version(versions))


def _version(engine: Engine, retraining: Retraining, policy: Policy) -> ModelVersion:
    path = candidate_path(engine, retraining)
    return ModelVersion(retraining.model, retraining.new_version or "1", registration_tags(policy, retraining), path)


def _description(retraining: Retraining) -> str:
    return f"Retrained by anew, decision {retraining.decision_id}. Why: anew explain {retraining.decision_id}"
