"""Opening the rollouts that the tags in the registry call for: Azure raises no event when a tag changes."""

from collections.abc import Sequence
from datetime import datetime

from anew.core.base.versions import version_order
from anew.core.policies.deploy import Deploy
from anew.core.policies.policy import Policy
from anew.core.rollouts.lifecycle import SERVING_ROLLOUT, Rollout
from anew.core.rollouts.matching import matches, matching_rules
from anew.engine.base.context import Engine
from anew.engine.base.ports import ModelVersion
from anew.engine.rollouts.opening import new_rollout
from anew.engine.serving.versions import version_at


def follow_tags(engine: Engine, policy: Policy, now: datetime) -> int:
    """Open the rollouts that the tags of this policy's model call for now; returns how many are new."""
    if not policy.deploy:
        return 0
    versions = engine.registry.versions(policy.model)
    rollouts = (_called_for(engine, policy, rule, versions, now) for rule in policy.deploy)
    return sum(engine.ledger.add_rollout(each, engine.actor) for each in rollouts if each is not None)


def _called_for(
    engine: Engine, policy: Policy, rule: Deploy, versions: Sequence[ModelVersion], now: datetime
) -> Rollout | None:
    """A release of the newest version that matches, if it is newer than the one that serves; or a rollback to it, if
    the one that serves has lost its tags and the rule wants that.
    """
    tagged = [each for each in versions if rule in matching_rules(policy, each.tags)]
    newest = max(tagged, key=lambda each: version_order(each.version), default=None)
    if newest is None:
        return None
    served = version_at(engine, rule, policy.model)
    if served is None or version_order(newest.version) > version_order(served):
        return new_rollout(newest, rule, now)
    is_untagged = any(each.version == served and not matches(rule, each.tags) for each in versions)
    if not is_untagged or rule.on_untag != "roll_back" or newest.version == served:
        return None
    serving = engine.ledger.rollouts(SERVING_ROLLOUT, model=policy.model)
    place = f"{rule.kind}/{rule.endpoint}"
    release = next((each for each in reversed(serving) if each.place == place and each.version == served), None)
    if release is None:
        return None  # anew did not deploy this version, so it does not remove it
    reason = f"version {served} lost the tags of its deploy rule"
    return new_rollout(newest, rule, now, occasion=release.id, reason=reason)
