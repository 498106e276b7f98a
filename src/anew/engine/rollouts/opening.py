"""Making a rollout of a registered version. Pure."""

import hashlib
from datetime import datetime

from anew.core.policies.deploy import Deploy
from anew.core.policies.policy import DEPLOY_ADAPTER
from anew.core.retrainings.lineage_tags import RETRAINING_TAG
from anew.core.rollouts.lifecycle import Rollout, RolloutKind
from anew.core.rollouts.naming import deployment_name
from anew.engine.base.ports import ModelVersion


def new_rollout(
    registered: ModelVersion, rule: Deploy, now: datetime, *, occasion: str = "", reason: str | None = None
) -> Rollout:
    """The release of this version to the rule's endpoint; with an occasion, a rollback to it.

    The id depends on endpoint, version and occasion alone, so the same rollout is opened only once.
    """
    where = rule.endpoint if rule.kind == "online" else f"{rule.kind}/{rule.endpoint}"
    identity = "\n".join((where, registered.model, registered.version, *([occasion] if occasion else ())))
    return Rollout(
        id=("b-" if occasion else "o-") + hashlib.sha256(identity.encode()).hexdigest()[:12],
        model=registered.model,
        version=registered.version,
        endpoint=rule.endpoint,
        deployment=deployment_name(registered.model, registered.version),
        spec=DEPLOY_ADAPTER.dump_python(rule, mode="json", by_alias=True, exclude_defaults=True),
        created_at=now,
        state_since=now,
        kind=RolloutKind.ROLLBACK if occasion else RolloutKind.RELEASE,
        retraining_id=registered.tags.get(RETRAINING_TAG),
        request_reason=reason,
    )
