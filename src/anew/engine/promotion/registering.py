"""The state `registering`: register the candidate as a new version, whose number is recorded beforehand."""

from datetime import datetime

from anew.core.base.versions import next_version
from anew.core.policies.policy import Policy
from anew.core.retrainings.gating import after_champion_change
from anew.core.retrainings.lifecycle import ApprovalDecision, Retraining, RetrainingMove
from anew.core.retrainings.lineage_tags import RETRAINING_TAG, registration_tags
from anew.engine.base.context import Engine
from anew.engine.base.ports import ModelVersion
from anew.engine.base.transition import fail, move_retraining, note_retraining
from anew.engine.serving.versions import champion_version
from anew.errors import AzureRefused


def register(engine: Engine, retraining: Retraining, now: datetime) -> Retraining:
    """Register the version, or find that it is registered; a version that somebody else registered is left alone.

    Before a version is chosen, the candidate goes back to the evaluation if the champion has changed since. Afterwards
    it does not, because the version may be registered already.
    """
    policy = engine.policies.for_model(retraining.model)
    known: ModelVersion | None = None
    if retraining.new_version is not None:
        known = engine.registry.get(retraining.model, retraining.new_version)
    else:
        if (champion := _changed_champion(engine, retraining, policy)) is not None:
            move, changes = after_champion_change(retraining, champion)
            return move_retraining(engine, retraining, move, now, **changes)
        retraining = _choose_version(engine, retraining, "version-chosen", now)
    if known is None:
        version = _new_version(retraining, policy)
        decision = retraining.decision_id
        description = f"Retrained by anew, decision {decision}. Why: anew explain {decision}"
        try:
            engine.registry.register(version, policy.retrain.output_type, description)
        except AzureRefused as error:
            # Somebody else may have registered this version just now.
            known = engine.registry.get(version.model, version.version)
            if known is None:
                return fail(engine, retraining, f"registration refused: {error}", now)
    if known is not None and known.tags.get(RETRAINING_TAG) != retraining.id:
        return _choose_version(engine, retraining, "version-taken", now, known.version)
    return move_retraining(engine, retraining, RetrainingMove.REGISTERED, now)


def _changed_champion(engine: Engine, retraining: Retraining, policy: Policy) -> str | None:
    """The version in production, if the candidate was compared with another one and is not forced."""
    if retraining.approval is ApprovalDecision.FORCED:
        return None
    champion = champion_version(engine, policy)
    return champion if champion != retraining.champion_version else None


def _choose_version(engine: Engine, retraining: Retraining, what: str, now: datetime, *taken: str) -> Retraining:
    # An archived version is taken, but not listed.
    versions = [*taken, *(item.version for item in engine.registry.versions(retraining.model))]
    return note_retraining(engine, retraining, what, now, new_version=next_version(versions))


def _new_version(retraining: Retraining, policy: Policy) -> ModelVersion:
    path = retraining.candidate_path(policy.retrain.output)
    return ModelVersion(retraining.model, retraining.new_version or "1", registration_tags(policy, retraining), path)
