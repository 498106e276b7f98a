"""A rollout of version 4, and rules to roll it out by."""

from dataclasses import replace
from typing import Any

from anew.core.policies.deploy import Deploy
from anew.core.policies.policy import DEPLOY_ADAPTER
from anew.core.rollouts.lifecycle import Rollout, RolloutKind, RolloutState
from tests.builders import deploy_rule
from tests.contract.rows import rollout


def rule(**changes: Any) -> Deploy:
    return DEPLOY_ADAPTER.validate_python(deploy_rule(**changes))


def release(version: str = "4", state: RolloutState = RolloutState.LIVE, **changes: Any) -> Rollout:
    """A release of this version over the one before it, which bakes for an hour."""
    before = str(int(version) - 1)
    known = replace(
        rollout(version), state=state, spec=deploy_rule(bake="1h"), previous=f"price-{before}",
        previous_version=f"price:{before}",
    )  # fmt: skip
    return replace(known, **changes)


def rollback(version: str = "3", state: RolloutState = RolloutState.PENDING, **changes: Any) -> Rollout:
    """A rollback to this version from the one after it."""
    after = str(int(version) + 1)
    known = release(version, state, previous=f"price-{after}", previous_version=f"price:{after}")
    return replace(known, id=f"b-{version}", kind=RolloutKind.ROLLBACK, **changes)
