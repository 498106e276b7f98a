"""What goes where by its tags: rollouts opened for registered versions, for versions whose tags were changed, and for
tags that were taken away.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from anew.core.base.versions import is_newer
from anew.core.events.event import Event
from anew.core.policies.deploy import Deploy
from anew.core.policies.policy import DEPLOY_ADAPTER, Policy
from anew.core.retrainings.lineage_tags import RETRAINING_TAG
from anew.core.rollouts.lifecycle import SERVING_ROLLOUT, Rollout, RolloutKind
from anew.core.rollouts.matching import matches, matching_rules
from anew.core.rollouts.naming import deployment_name
from anew.engine.base.context import Engine
from anew.engine.base.ledger import InboxEntry
from anew.engine.base.ports import ModelVersion
from anew.engine.inbox.draining import drain
from anew.engine.rollouts.advance import RolloutPass, advance_rollouts
from anew.engine.serving.versions import served_version, view_of
from anew.errors import UnknownModel


@dataclass(frozen=True, slots=True)
class DeployPass:
    """Rollouts looked at in this pass, as they stand now, and what could not be done yet."""

    rollouts: tuple[Rollout, ...] = ()
    deferred: tuple[str, ...] = ()


def deploy(engine: Engine, now: datetime) -> DeployPass:
    """Open rollouts for every registered version whose tags a policy deploys, and advance all open rollouts."""
    touched: set[str] = set()

    def answer(entry: InboxEntry) -> None:
        opened, outcome = open_rollouts(engine, entry.event, now)
        engine.ledger.settle([entry.key], outcome, now, opened[0] if opened else None)
        touched.update(opened)

    deferred = drain(engine, "deploy", answer, now)
    advanced: RolloutPass = advance_rollouts(engine, now)
    done = [found for item in touched - {r.id for r in advanced.rollouts} if (found := engine.ledger.rollout(item))]
    return DeployPass((*advanced.rollouts, *done), (*deferred, *advanced.problems))


def open_rollouts(engine: Engine, event: Event, now: datetime) -> tuple[list[str], str]:
    """Open the rollouts a registration calls for. Returns their ids and a sentence that says what was done.

    Tags are read from the registry, never from the event: an event can be forged or stale.
    """
    model, version = event.model or "", event.version or ""
    try:
        policy = engine.policies.for_model(model)
    except UnknownModel:
        return [], f"not deployed: no policy for {model}"
    registered = engine.registry.get(model, version)
    if registered is None:
        return [], f"not deployed: {model}:{version} is not in the registry"
    rules = matching_rules(policy, registered.tags)
    if not rules:
        return [], f"not deployed: the tags of {model}:{version} match no deploy rule"
    rollouts = [release_of(registered, rule, now) for rule in rules]
    said = [
        f"opened rollout {each.id} to {each.endpoint}"
        if engine.ledger.add_rollout(each, engine.actor)
        else f"rollout {each.id} was opened before"
        for each in rollouts
    ]
    return [each.id for each in rollouts], "; ".join(said)


def release_of(registered: ModelVersion, rule: Deploy, now: datetime) -> Rollout:
    """The rollout of this version to this rule's endpoint; its id is the same however often it is intended."""
    return intended_rollout(registered, rule, RolloutKind.RELEASE, "", now)


def rollback_to(registered: ModelVersion, rule: Deploy, instead_of: str, why: str, now: datetime) -> Rollout:
    """The rollout that brings this version back instead of another one; its id is the same for one occasion."""
    return intended_rollout(registered, rule, RolloutKind.ROLLBACK, instead_of, now, why)


def intended_rollout(
    registered: ModelVersion, rule: Deploy, kind: RolloutKind, occasion: str, now: datetime, why: str | None = None
) -> Rollout:
    """A rollout that nothing was done for yet."""
    where = rule.endpoint if rule.kind == "online" else f"{rule.kind}/{rule.endpoint}"
    identity = "\n".join((where, registered.model, registered.version, *([occasion] if occasion else ())))
    return Rollout(
        id=("o-" if kind is RolloutKind.RELEASE else "b-") + hashlib.sha256(identity.encode()).hexdigest()[:12],
        model=registered.model,
        version=registered.version,
        endpoint=rule.endpoint,
        deployment=deployment_name(registered.model, registered.version),
        spec=DEPLOY_ADAPTER.dump_python(rule, mode="json", by_alias=True, exclude_defaults=True),
        created_at=now,
        state_since=now,
        kind=kind,
        retraining_id=registered.tags.get(RETRAINING_TAG),
        request_reason=why,
    )


# --- what no event tells of -------------------------------------------------------------------------------


def follow_tags(engine: Engine, policy: Policy, now: datetime) -> int:
    """Open the rollouts that the registry's tags call for just now; returns how many are new.

    Not by way of the inbox: Azure raises no event when a tag is changed.
    """
    if not policy.deploy:
        return 0
    versions = engine.registry.versions(policy.model)
    rollouts = (_called_for(engine, policy, rule, versions, now) for rule in policy.deploy)
    return sum(engine.ledger.add_rollout(each, engine.actor) for each in rollouts if each is not None)


def _called_for(
    engine: Engine, policy: Policy, rule: Deploy, versions: Iterable[ModelVersion], now: datetime
) -> Rollout | None:
    newest = _newest([each for each in versions if rule in matching_rules(policy, each.tags)])
    if newest is None:
        return None
    served = served_version(view_of(engine, rule), policy.model)
    if served is None or is_newer(newest.version, served):
        return release_of(newest, rule, now)
    untagged = next((each for each in versions if each.version == served and not matches(rule, each.tags)), None)
    if untagged is None or rule.on_untag != "roll_back" or newest.version == served:
        return None
    release = _serving_rollout(engine, policy.model, rule, served)
    if release is None:
        return None  # not brought here by anew: not anew's to take away
    return rollback_to(newest, rule, release.id, f"version {served} lost the tags of its deploy rule", now)


def _newest(versions: Iterable[ModelVersion]) -> ModelVersion | None:
    newest: ModelVersion | None = None
    for each in versions:
        if newest is None or is_newer(each.version, newest.version):
            newest = each
    return newest


def _serving_rollout(engine: Engine, model: str, rule: Deploy, version: str) -> Rollout | None:
    found = [
        each
        for each in engine.ledger.rollouts(SERVING_ROLLOUT, model=model)
        if (each.endpoint, each.endpoint_kind, each.version) == (rule.endpoint, rule.kind, version)
    ]
    return found[-1] if found else None
