"""From a registered version to all traffic of an endpoint: match its tags, then roll out stage by stage."""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from anew.core.events import Event
from anew.core.lifecycle import OPEN_ROLLOUT, Rollout, RolloutMove, RolloutState
from anew.core.policy import Deploy
from anew.core.tags import RETRAINING_TAG, deployment_name, is_newer, matching_rule
from anew.engine.context import Engine
from anew.engine.intake import ACTS_ON
from anew.engine.ports import DeploymentState, EndpointView, ModelVersion
from anew.engine.serving import served_version
from anew.engine.transition import move_rollout
from anew.errors import AnewError, AzureRefused, AzureUnavailable, StaleWrite, UnknownModel

_STEPS_AT_MOST = 16

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DeployReport:
    """Rollouts looked at in this pass, as they stand now, and what could not be done yet."""

    rollouts: tuple[Rollout, ...] = ()
    deferred: tuple[str, ...] = ()


def deploy(engine: Engine, now: datetime) -> DeployReport:
    """Open a rollout for every registered version whose tags a policy deploys, and advance all open rollouts."""
    deferred: list[str] = []
    touched: set[str] = set()
    for entry in engine.ledger.claim(ACTS_ON["deploy"], now, engine.timing.claim_lease):
        try:
            rollout, outcome = open_rollout(engine, entry.event, now)
            engine.ledger.settle([entry.key], outcome, now, rollout)
            if rollout:
                touched.add(rollout)
        except AnewError as error:  # one entry that cannot be answered must not hold up the others
            engine.ledger.release([entry.key])
            deferred.append(f"{entry.event.subject}: {error}")
    advanced = advance_rollouts(engine, now)
    done = [found for item in touched - {r.id for r in advanced.rollouts} if (found := engine.ledger.rollout(item))]
    return DeployReport((*advanced.rollouts, *done), (*deferred, *advanced.deferred))


def open_rollout(engine: Engine, event: Event, now: datetime) -> tuple[str | None, str]:
    """Open the rollout a registration calls for. Returns its id (or None) and a sentence that says what was done.

    Tags are read from the registry, never from the event: an event can be forged or stale.
    """
    model, version = event.model or "", event.version or ""
    try:
        policy = engine.policies.for_model(model)
    except UnknownModel:
        return None, f"not deployed: no policy for {model}"
    registered = engine.registry.get(model, version)
    if registered is None:
        return None, f"not deployed: {model}:{version} is not in the registry"
    index = matching_rule(policy, registered.tags)
    if index is None:
        return None, f"not deployed: the tags of {model}:{version} match no deploy rule"
    rollout = intended_rollout(registered, policy.deploy[index], index, now)
    if not engine.ledger.add_rollout(rollout, engine.actor):
        return rollout.id, f"rollout {rollout.id} was opened before"
    return rollout.id, f"opened rollout {rollout.id} to {rollout.endpoint}"


def intended_rollout(registered: ModelVersion, rule: Deploy, index: int, now: datetime) -> Rollout:
    """The rollout of this version to this rule's endpoint; its id is the same however often it is intended."""
    identity = f"{rule.endpoint}\n{registered.model}\n{registered.version}"
    return Rollout(
        id="o-" + hashlib.sha256(identity.encode()).hexdigest()[:12],
        model=registered.model,
        version=registered.version,
        endpoint=rule.endpoint,
        deployment=deployment_name(registered.model, registered.version),
        rule=index,
        created_at=now,
        state_since=now,
        retraining_id=registered.tags.get(RETRAINING_TAG),
    )


def advance_rollouts(engine: Engine, now: datetime) -> DeployReport:
    """Advance the oldest open rollout of each endpoint; the others wait their turn."""
    done: list[Rollout] = []
    deferred: list[str] = []
    busy: set[str] = set()
    for rollout in engine.ledger.rollouts(OPEN_ROLLOUT):
        if rollout.endpoint in busy:
            continue
        try:
            moved = advance_rollout(engine, rollout, now)
        except AnewError as error:
            deferred.append(f"{rollout.id}: {error}")
            moved = rollout
        done.append(moved)
        if moved.is_open:
            busy.add(rollout.endpoint)
    return DeployReport(tuple(done), tuple(deferred))


def advance_rollout(engine: Engine, rollout: Rollout, now: datetime) -> Rollout:
    """Take every step this rollout is ready for, holding its lease. Raises TemporaryError; what was recorded stays."""
    for _ in range(_STEPS_AT_MOST):
        if not engine.ledger.lease_rollout(rollout, now, engine.timing.rollout_lease):
            return engine.ledger.rollout(rollout.id) or rollout
        try:
            moved = _step(engine, rollout, now)
        except StaleWrite:
            return engine.ledger.rollout(rollout.id) or rollout
        except AzureRefused as error:
            return _back_out(engine, rollout, f"refused: {error}", now)
        except AzureUnavailable as error:
            if not _is_stalled(engine, rollout, now):
                raise
            return _back_out(engine, rollout, f"still {rollout.state}: {error}", now)
        finally:
            engine.ledger.free_rollout(rollout)
        if moved.revision == rollout.revision or not moved.is_open:
            return moved
        rollout = moved
    return rollout


def _step(engine: Engine, rollout: Rollout, now: datetime) -> Rollout:
    rule = _rule(engine, rollout)
    if rule is None:
        return _back_out(engine, rollout, "its deploy rule is no longer in the policy", now)
    match rollout.state:
        case RolloutState.PENDING:
            return _start(engine, rollout, now)
        case RolloutState.CREATING:
            return _create(engine, rollout, rule, now)
        case RolloutState.SHIFTING:
            return _shift(engine, rollout, rule, now)
        case RolloutState.LIVE | RolloutState.FAILED:
            return rollout


def _rule(engine: Engine, rollout: Rollout) -> Deploy | None:
    try:
        rules = engine.policies.for_model(rollout.model).deploy
    except UnknownModel:
        return None
    rule = rules[rollout.rule] if rollout.rule < len(rules) else None
    return rule if rule and rule.endpoint == rollout.endpoint else None


def _is_stalled(engine: Engine, rollout: Rollout, now: datetime) -> bool:
    """Whether a stage was tried for too long. A rollout that is pending may only have waited for its turn."""
    rule = _rule(engine, rollout)
    if rule is None or rollout.state is RolloutState.PENDING:
        return False
    wait = rule.steps[min(rollout.step, len(rule.steps) - 1)].wait if rollout.step >= 0 else timedelta(0)
    return now > rollout.state_since + wait + engine.timing.rollout_stalled


def _start(engine: Engine, rollout: Rollout, now: datetime) -> Rollout:
    view = engine.endpoints.view(rollout.endpoint)
    served = served_version(view, rollout.model)
    if served is not None and not is_newer(rollout.version, served):
        reason = f"{rollout.endpoint} already serves version {served}"
        return move_rollout(engine, rollout, RolloutMove.FAILED, now, reason=reason)
    engine.endpoints.ensure(rollout.endpoint)
    return move_rollout(engine, rollout, RolloutMove.STARTED, now, previous=_busiest(view, rollout.deployment))


def _busiest(view: EndpointView | None, other_than: str) -> str | None:
    if view is None:
        return None
    shares = [(share, name) for name, share in view.traffic.items() if share > 0 and name != other_than]
    return max(shares)[1] if shares else None


def _create(engine: Engine, rollout: Rollout, rule: Deploy, now: datetime) -> Rollout:
    state = engine.endpoints.deployment_state(rollout.endpoint, rollout.deployment)
    if state is DeploymentState.ABSENT:
        model = engine.registry.get(rollout.model, rollout.version)
        if model is None:
            return _back_out(engine, rollout, "the model version is gone from the registry", now)
        engine.endpoints.create_deployment(rollout.endpoint, rollout.deployment, model, rule)
        state = engine.endpoints.deployment_state(rollout.endpoint, rollout.deployment)
    if state is DeploymentState.FAILED:
        return _back_out(engine, rollout, "the deployment could not be created", now)
    if state is not DeploymentState.READY:
        if _is_stalled(engine, rollout, now):
            return _back_out(engine, rollout, f"the deployment is not ready after {now - rollout.state_since}", now)
        return rollout
    return _take_step(engine, rollout, rule, 0, now)


def _shift(engine: Engine, rollout: Rollout, rule: Deploy, now: datetime) -> Rollout:
    step = min(rollout.step, len(rule.steps) - 1)
    if now < rollout.state_since + rule.steps[step].wait:
        return rollout
    if _share(engine, rollout) == 100:
        _retire(engine, rollout)
        return move_rollout(engine, rollout, RolloutMove.FINISHED, now)
    return _take_step(engine, rollout, rule, min(step + 1, len(rule.steps) - 1), now)


def _share(engine: Engine, rollout: Rollout) -> int:
    view = engine.endpoints.view(rollout.endpoint)
    return view.traffic.get(rollout.deployment, 0) if view else 0


def _take_step(engine: Engine, rollout: Rollout, rule: Deploy, step: int, now: datetime) -> Rollout:
    """Ask the new deployment for a prediction, then give it the share of this stage."""
    if rule.sample_request is not None:
        engine.endpoints.score(rollout.endpoint, rule.sample_request, rollout.deployment)
    traffic = _split(rollout, rule.steps[step].traffic)
    engine.endpoints.set_traffic(rollout.endpoint, traffic)
    if rollout.previous is None:
        step = len(rule.steps) - 1
    return move_rollout(engine, rollout, RolloutMove.STEPPED, now, step=step)


def _split(rollout: Rollout, share: int) -> Mapping[str, int]:
    if rollout.previous is None or share == 100:
        return {rollout.deployment: 100, **({rollout.previous: 0} if rollout.previous else {})}
    return {rollout.deployment: share, rollout.previous: 100 - share}


def _retire(engine: Engine, rollout: Rollout) -> None:
    """Delete deployments anew made here before the previous one; that one stays, warm, at 0 %.

    One that cannot be deleted costs money, but is no reason to take the traffic from the new version.
    """
    view = engine.endpoints.view(rollout.endpoint)
    ours = {
        item.deployment for item in engine.ledger.rollouts([RolloutState.LIVE]) if item.endpoint == rollout.endpoint
    }
    for name in ours & set(view.models if view else ()):
        if name not in (rollout.deployment, rollout.previous) and not (view and view.traffic.get(name)):
            try:
                engine.endpoints.delete_deployment(rollout.endpoint, name)
            except AzureRefused as error:
                logger.warning("%s/%s was not deleted: %s", rollout.endpoint, name, error)


def _back_out(engine: Engine, rollout: Rollout, reason: str, now: datetime) -> Rollout:
    """Give all traffic back to the previous deployment, then record the failure."""
    try:
        if rollout.previous is not None and _share(engine, rollout) > 0:
            engine.endpoints.set_traffic(rollout.endpoint, {rollout.previous: 100, rollout.deployment: 0})
    except AzureRefused as error:
        reason = f"{reason}; giving the traffic back was refused, look at the endpoint: {error}"
    return move_rollout(engine, rollout, RolloutMove.FAILED, now, reason=reason)
