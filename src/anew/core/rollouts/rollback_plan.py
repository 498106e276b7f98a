"""How an endpoint is rolled back, from the rollouts of one model. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from anew.core.policies.deploy import Deploy
from anew.core.rollouts.lifecycle import (
    OPEN_ROLLOUT,
    SERVING_ROLLOUT,
    Rollout,
    RolloutKind,
    RolloutMove,
    RolloutState,
    abort_move,
)
from anew.core.rollouts.naming import version_of
from anew.core.rollouts.stages import rule_of, takes_all
from anew.errors import InvalidRequest, NothingKnown

_BEGUN = OPEN_ROLLOUT - {RolloutState.PENDING}
_NO_TRAFFIC_YET = frozenset({RolloutState.PENDING, RolloutState.CREATING})


@dataclass(frozen=True, slots=True)
class AlreadyRolledBack:
    """This rollout rolls back already, or has just done so."""

    rollout: Rollout


@dataclass(frozen=True, slots=True)
class AbortRollout:
    """Aborting this rollout leaves the endpoint with the version before it."""

    rollout: Rollout


@dataclass(frozen=True, slots=True)
class BringBack:
    """Open a rollback to `version` by `rule`, after the rollouts in `in_the_way` have been ended.

    `occasion` is the same each time this is planned, so that its rollback is opened once.
    """

    model: str
    version: str
    rule: Deploy
    occasion: str
    in_the_way: tuple[Rollout, ...]


RollbackPlan = AlreadyRolledBack | AbortRollout | BringBack


def at_one_endpoint(model: str, rollouts: Sequence[Rollout]) -> list[Rollout]:
    """The rollouts at the endpoint where the model serves. Raises InvalidRequest when it serves at several."""
    deciding = [each for each in rollouts if each.state in _BEGUN | SERVING_ROLLOUT] or rollouts
    places = sorted({each.place for each in deciding})
    if len(places) > 1:
        advice = f"Name one: anew rollback {model} --endpoint NAME"
        raise InvalidRequest(f"{model} serves at {', '.join(places)}", advice=advice)
    return [each for each in rollouts if each.place in places]


def plan_requested(model: str, rollouts: Sequence[Rollout], to: str | None, now: datetime) -> RollbackPlan:
    """Plan the rollback that a person asks for; `rollouts` are all of the model at one endpoint, oldest first.

    Raises NothingKnown when there is no rollout to roll back, and InvalidRequest as `plan_rollback` does.
    """
    if to is None and (done := _just_rolled_back(rollouts, now)):
        return AlreadyRolledBack(done)
    return plan_rollback(rollouts, _current(model, rollouts, to), to)


def plan_rollback(rollouts: Sequence[Rollout], current: Rollout, to: str | None = None) -> RollbackPlan:
    """Plan the rollback from the rollout that decides which version serves, to the version before or to a named one.

    Raises InvalidRequest when the version before is unknown, or when the named version serves or is being released.
    """
    under_way = [each for each in rollouts if _is_rolling_back(each)]
    if under_way and to in (None, _leads_to(under_way[-1])):
        return AlreadyRolledBack(under_way[-1])
    if _can_be_aborted(current) and to in (None, version_of(current.previous_version, current.model)):
        return AbortRollout(current)
    target = to or _version_before(rollouts, current)
    if target is None:
        raise InvalidRequest(
            f"the version that served before {current.model}:{current.version} on {current.endpoint} is unknown",
            advice=f"Name a version: anew rollback {current.model} --to VERSION",
        )
    if target == current.version and current.state in OPEN_ROLLOUT | SERVING_ROLLOUT:
        how = "serves" if current.state in SERVING_ROLLOUT else f"is {current.state}"
        raise InvalidRequest(f"{current.model}:{target} {how} on {current.endpoint} already")
    return _bring_back(rollouts, current, target)


def way_out(rollout: Rollout) -> RolloutMove:
    """The move that ends an open rollout for a rollback. A rollback that bakes keeps its traffic: aborting it would
    return the traffic to the version that was left.
    """
    bakes_rollback = rollout.kind is RolloutKind.ROLLBACK and rollout.state is RolloutState.BAKING
    return RolloutMove.BAKED if bakes_rollback else abort_move(rollout.state)


def _bring_back(rollouts: Sequence[Rollout], current: Rollout, target: str) -> BringBack:
    waiting = (each for each in rollouts if each.kind is RolloutKind.ROLLBACK and each.state is RolloutState.PENDING)
    ended = {each.id: each for each in (*waiting, current) if each.is_open and each.state is not RolloutState.ABORTING}
    earlier = [each for each in rollouts if each.version == target]
    # Numbered, so that a rollback that failed can be requested again, and one under way is not opened twice.
    tried = sum(each.kind is RolloutKind.ROLLBACK and not each.is_open for each in earlier)
    rule = rule_of(earlier[-1] if earlier else current)
    return BringBack(current.model, target, rule, f"{current.id}/{tried}", tuple(ended.values()))


def _current(model: str, rollouts: Sequence[Rollout], to: str | None) -> Rollout:
    """The rollout that decides which version serves: the open one that has begun, else the newest that serves, else one
    that waits. With a named version, one that has ended will do: anew may never have released the version that serves.
    """
    begun = [each for each in rollouts if each.state in _BEGUN]
    serving = sorted((each for each in rollouts if each.state in SERVING_ROLLOUT), key=lambda each: each.state_since)
    waiting = [each for each in rollouts if each.is_open]
    found = begun or serving or waiting or (rollouts if to is not None else ())
    if not found:
        raise NothingKnown(f"anew has released no version of {model} to an endpoint, so there is nothing to roll back")
    return found[-1]


def _just_rolled_back(rollouts: Sequence[Rollout], now: datetime) -> Rollout | None:
    """The release that lost all traffic so recently that a rollback from it would still bake: a second request then
    repeats the first.
    """
    if any(each.state in _BEGUN for each in rollouts):
        return None
    ended = (each for each in rollouts if each.state in {*SERVING_ROLLOUT, RolloutState.ROLLED_BACK})
    newest = max(ended, key=lambda each: each.state_since, default=None)
    if newest is None or newest.state is not RolloutState.ROLLED_BACK:
        return None
    rule = rule_of(newest)
    return newest if takes_all(rule, newest.step) and now < newest.state_since + rule.bake else None


def _is_rolling_back(rollout: Rollout) -> bool:
    return rollout.state is RolloutState.ABORTING or (rollout.kind is RolloutKind.ROLLBACK and rollout.is_open)


def _leads_to(rollout: Rollout) -> str | None:
    """The version that serves once this rollout, which rolls back, has ended."""
    aborts = rollout.state is RolloutState.ABORTING
    return version_of(rollout.previous_version, rollout.model) if aborts else rollout.version


def _can_be_aborted(rollout: Rollout) -> bool:
    """Whether aborting leaves the endpoint with the version before. Without such a version, aborting a rollout that has
    traffic would leave the endpoint without a deployment.
    """
    can_return = rollout.previous is not None or rollout.state in _NO_TRAFFIC_YET
    may_be_moved = rollout.is_open and rollout.state is not RolloutState.ABORTING
    return may_be_moved and rollout.kind is RolloutKind.RELEASE and can_return


def _version_before(rollouts: Sequence[Rollout], current: Rollout) -> str | None:
    """The version that served before this one was released, not the version that a rollback to it replaced."""
    releases = [each for each in rollouts if each.kind is RolloutKind.RELEASE and each.version == current.version]
    return version_of(releases[-1].previous_version, current.model) if releases else None
