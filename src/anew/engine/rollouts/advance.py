"""Taking rollouts as far as they can go now: one step at a time, by whoever holds the endpoint."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from anew.core.base.versions import is_newer
from anew.core.policies.deploy import Deploy
from anew.core.policies.policy import DEPLOY_ADAPTER
from anew.core.retrainings.lineage_tags import PARENT_TAG
from anew.core.rollouts.lifecycle import OPEN_ROLLOUT, Rollout, RolloutKind, RolloutMove, RolloutState
from anew.core.rollouts.stages import first_step
from anew.engine.base.context import Engine
from anew.engine.base.ports import DeploymentState, EndpointView
from anew.engine.base.transition import move_rollout
from anew.engine.notifications.notify import notify_of_rollout
from anew.engine.rollouts.aborting import abort_rollout
from anew.engine.rollouts.shifting import take_stage
from anew.engine.rollouts.watching import watch_bake, watch_stage
from anew.engine.serving.endpoint_lease import endpoint_lease
from anew.engine.serving.versions import served_version
from anew.errors import AnewError, AzureRefused, AzureUnavailable, StaleWrite, TrafficMoved

_STEPS_AT_MOST = 16
Stage = Callable[[Engine, Rollout, Deploy, datetime], Rollout]


@dataclass(frozen=True, slots=True)
class RolloutPass:
    """The rollouts looked at, as they stand now, and what could not be done."""

    rollouts: tuple[Rollout, ...]
    problems: tuple[str, ...]


def advance_rollouts(engine: Engine, now: datetime, place: str | None = None) -> RolloutPass:
    """Advance the oldest open rollout of each endpoint, or of one only; the others wait. A rollback goes first."""
    done: list[Rollout] = []
    problems: list[str] = []
    busy: set[tuple[str, str]] = set()
    for rollout in sorted(engine.ledger.rollouts(OPEN_ROLLOUT), key=_turn):
        endpoint = (rollout.endpoint_kind, rollout.endpoint)
        if endpoint in busy or place not in (None, rollout.place):
            continue
        try:
            moved = advance_rollout(engine, rollout, now)
        except AnewError as error:
            problems.append(f"{rollout.id}: {error}")
            moved = rollout
        done.append(moved)
        if moved.is_open:
            busy.add(endpoint)
    return RolloutPass(tuple(done), tuple(problems))


def _turn(rollout: Rollout) -> tuple[bool, bool, datetime]:
    """What has begun is finished first; of what waits, a rollback comes first."""
    return rollout.state is RolloutState.PENDING, rollout.kind is not RolloutKind.ROLLBACK, rollout.created_at


def advance_rollout(engine: Engine, rollout: Rollout, now: datetime) -> Rollout:
    """Take every step this rollout is ready for, holding its endpoint.

    Raises TemporaryError when Azure or the ledger cannot be asked; what was recorded stays.
    """
    with endpoint_lease(engine, rollout.place, now) as leased:
        # What was read before the endpoint was held may be old.
        rollout = engine.ledger.rollout(rollout.id) or rollout
        if leased is None or not rollout.is_open:
            return rollout
        for _ in range(_STEPS_AT_MOST):
            try:
                moved = _step(leased, rollout, now)
            except StaleWrite:
                return engine.ledger.rollout(rollout.id) or rollout
            if moved.revision == rollout.revision or not moved.is_open:
                return moved
            rollout = moved
        return rollout


def _step(engine: Engine, rollout: Rollout, now: datetime) -> Rollout:
    rule = DEPLOY_ADAPTER.validate_python(rollout.spec)
    try:
        moved = _STAGES[rollout.state](engine, rollout, rule, now)
    except TrafficMoved as error:
        moved = _abort(engine, rollout, f"the traffic was moved by somebody else: {error}", now)
    except AzureRefused as error:
        if rollout.state in (RolloutState.BAKING, RolloutState.ABORTING):
            raise  # it serves, or there is no other way: a person has to look
        moved = _abort(engine, rollout, f"refused: {error}", now)
    except AzureUnavailable as error:
        if not _is_stalled(engine, rollout, now):
            raise
        moved = _abort(engine, rollout, f"still {rollout.state}: {error}", now)
    if moved.state is not rollout.state:
        notify_of_rollout(engine, moved)
    return moved


def _is_stalled(engine: Engine, rollout: Rollout, now: datetime) -> bool:
    """Whether a stage could not be tried for too long. What is pending may only have waited for its turn, what bakes
    serves, and what goes back has no other way.
    """
    can_be_given_up = rollout.state in (RolloutState.CREATING, RolloutState.SHIFTING)
    since = max(rollout.state_since, rollout.measured_at or rollout.state_since)
    return can_be_given_up and now > since + engine.timing.rollout_stalled


def _abort(engine: Engine, rollout: Rollout, reason: str, now: datetime) -> Rollout:
    move = RolloutMove.FAILED if rollout.state is RolloutState.PENDING else RolloutMove.ABORT
    return move_rollout(engine, rollout, move, now, reason=reason)


# --- the first stages -------------------------------------------------------------------------------------


def _start(engine: Engine, rollout: Rollout, rule: Deploy, now: datetime) -> Rollout:
    endpoints = engine.endpoints[rule.kind]
    view = endpoints.view(rollout.endpoint)
    if obstacle := _obstacle(engine, rollout, view):
        return move_rollout(engine, rollout, RolloutMove.FAILED, now, reason=obstacle)
    endpoints.ensure(rollout.endpoint)
    previous = next((name for name, share in view.traffic.items() if share), None) if view else None
    served = view.models.get(previous) if view and previous else None
    return move_rollout(engine, rollout, RolloutMove.STARTED, now, previous=previous, previous_version=served)


def _obstacle(engine: Engine, rollout: Rollout, view: EndpointView | None) -> str | None:
    """Why this rollout must not begin, if it must not."""
    if view is None:
        return None
    if obstacle := _traffic_in_the_way(rollout, view):
        return obstacle
    return None if rollout.kind is RolloutKind.ROLLBACK else _better_known(engine, rollout, view)


def _traffic_in_the_way(rollout: Rollout, view: EndpointView) -> str | None:
    takers = sorted(name for name, share in view.traffic.items() if share)
    if takers == [rollout.deployment]:
        return f"{rollout.endpoint} serves version {rollout.version} already"
    if len(takers) > 1:
        return f"the traffic of {rollout.endpoint} is shared by {', '.join(takers)}: give one of them all of it first"
    return None


def _better_known(engine: Engine, rollout: Rollout, view: EndpointView) -> str | None:
    served = served_version(view, rollout.model)
    if served is not None and not is_newer(rollout.version, served):
        return f"{rollout.endpoint} already serves version {served}"
    if newer := _newer_that_waits(engine, rollout):
        return f"version {newer} waits for {rollout.endpoint} too, and goes instead"
    return _compared_with_another(engine, rollout, served)


def _newer_that_waits(engine: Engine, rollout: Rollout) -> str | None:
    for other in engine.ledger.rollouts([RolloutState.PENDING], model=rollout.model):
        if other.place == rollout.place and is_newer(other.version, rollout.version):
            return other.version
    return None


def _compared_with_another(engine: Engine, rollout: Rollout, served: str | None) -> str | None:
    registered = engine.registry.get(rollout.model, rollout.version)
    parent = registered.tags.get(PARENT_TAG) if registered else None
    if parent is None or served is None or parent == served:
        return None
    return f"it was compared with version {parent}, and {rollout.endpoint} serves {served}: what is better is unknown"


def _create(engine: Engine, rollout: Rollout, rule: Deploy, now: datetime) -> Rollout:
    endpoints = engine.endpoints[rule.kind]
    state = endpoints.deployment_state(rollout.endpoint, rollout.deployment)
    if state is DeploymentState.ABSENT:
        model = engine.registry.get(rollout.model, rollout.version)
        if model is None:
            return _abort(engine, rollout, "the model version is gone from the registry", now)
        endpoints.create_deployment(rollout.endpoint, rollout.deployment, model, rule)
        state = endpoints.deployment_state(rollout.endpoint, rollout.deployment)
    if state is DeploymentState.FAILED:
        return _abort(engine, rollout, "the deployment could not be created", now)
    if state is not DeploymentState.READY:
        if now > rollout.state_since + engine.timing.rollout_stalled:
            return _abort(engine, rollout, f"the deployment is not ready after {now - rollout.state_since}", now)
        return rollout
    if rule.sample_request is not None and rollout.kind is RolloutKind.RELEASE:
        endpoints.score(rollout.endpoint, rule.sample_request, rollout.deployment)
    return take_stage(engine, rollout, rule, first_step(rollout, rule), now)


_STAGES: Mapping[RolloutState, Stage] = {
    RolloutState.PENDING: _start,
    RolloutState.CREATING: _create,
    RolloutState.SHIFTING: watch_stage,
    RolloutState.BAKING: watch_bake,
    RolloutState.ABORTING: abort_rollout,
}
