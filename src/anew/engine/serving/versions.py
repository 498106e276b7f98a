"""Which version serves: by Azure now, for the gate and rollouts, and by the recorded traffic, for rollbacks."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from anew.core.decisions.decision import Outcome
from anew.core.evidence.history import Release
from anew.core.policies.deploy import Deploy
from anew.core.policies.policy import Policy
from anew.core.rollouts.lifecycle import SERVING_ROLLOUT, Rollout, RolloutKind, RolloutState
from anew.core.rollouts.matching import matching_rules
from anew.core.rollouts.naming import version_of
from anew.core.rollouts.traffic import TrafficChange
from anew.engine.base.context import Engine
from anew.engine.base.ledger import Ledger
from anew.engine.base.ports import EndpointView

_DECISIONS_READ = 200

# --- by Azure, now ----------------------------------------------------------------------------------------


def champion_version(engine: Engine, policy: Policy) -> str | None:
    """The version that serves at the first endpoint this policy deploys new versions to; None when none serves."""
    rules = matching_rules(policy, policy.register_.tags) or policy.deploy
    return next((version for rule in rules if (version := version_at(engine, rule, policy.model))), None)


def version_at(engine: Engine, rule: Deploy, model: str) -> str | None:
    """The version of this model that serves at the rule's endpoint. Raises TemporaryError when Azure cannot be read."""
    return served_version(view_of(engine, rule), model)


def view_of(engine: Engine, rule: Deploy) -> EndpointView | None:
    """The rule's endpoint as Azure shows it now; None when it does not exist."""
    return engine.endpoints[rule.kind].view(rule.endpoint)


def served_version(view: EndpointView | None, model: str) -> str | None:
    """The version of this model with the largest share of the live traffic; None when none has any."""
    if view is None:
        return None
    shares = [(share, view.models.get(name) or "") for name, share in view.traffic.items() if share]
    versions = (version_of(served, model) for _, served in sorted(shares, reverse=True))
    return next(filter(None, versions), None)


# --- by the recorded traffic ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ServingRelease:
    """A release whose version has had all traffic of its endpoint since `since`, by the newest recorded change.

    `rollbacks` are the rollbacks to another version that were opened since then.
    """

    rollout: Rollout
    since: datetime
    rollbacks: tuple[Rollout, ...]

    @property
    def is_rolling_back(self) -> bool:
        """Whether its traffic is being moved to another version."""
        return self.rollout.state is RolloutState.ABORTING or any(each.is_open for each in self.rollbacks)


def serving_releases(ledger: Ledger, model: str) -> Iterator[ServingRelease]:
    """The releases of this model that serve, at most one per endpoint.

    A version that was given the traffic outside anew serves too, but not by a release.
    """
    rollouts = ledger.rollouts(model=model)
    for place in dict.fromkeys(each.place for each in rollouts):
        here = [each for each in rollouts if each.place == place]
        newest = next(iter(ledger.traffic(place, limit=1)), None)
        serving = next((each for each in here if newest and _is_serving_release(each, newest)), None)
        if newest and serving:
            later = (each for each in here if each.kind is RolloutKind.ROLLBACK and each.created_at >= newest.at)
            yield ServingRelease(serving, newest.at, tuple(later))


def _is_serving_release(rollout: Rollout, newest: TrafficChange) -> bool:
    has_all = [(share.deployment, share.percent) for share in newest.shares] == [(rollout.deployment, 100)]
    # A release that is being aborted serves until its traffic has been moved.
    serves = rollout.state in {*SERVING_ROLLOUT, RolloutState.ABORTING}
    return rollout.id == newest.rollout_id and rollout.kind is RolloutKind.RELEASE and serves and has_all


def newest_release(ledger: Ledger, model: str) -> Release | None:
    """The release that a decision about this model may roll back: the newest that serves.

    None when rolling it back was tried and failed, or when an earlier decision chose to: a version is released to an
    endpoint once, so a decision about that version is never about an earlier release.
    """
    newest = max(serving_releases(ledger, model), key=lambda each: each.since, default=None)
    if newest is None:
        return None
    version = newest.rollout.version
    if not newest.is_rolling_back and (newest.rollbacks or _was_decided_to_leave(ledger, model, version)):
        return None
    before = version_of(newest.rollout.previous_version, model)
    return Release(version, newest.since, before, is_rolling_back=newest.is_rolling_back)


def _was_decided_to_leave(ledger: Ledger, model: str, version: str) -> bool:
    known = ledger.decisions(model, limit=_DECISIONS_READ)
    return any(each.outcome == Outcome.ROLL_BACK and each.leaves_version == version for each in known)
