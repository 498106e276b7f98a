"""Going back to an earlier version when somebody, or a policy, says so."""

from collections.abc import Sequence
from datetime import datetime

from anew.core.policies.policy import DEPLOY_ADAPTER
from anew.core.rollouts.lifecycle import OPEN_ROLLOUT, SERVING_ROLLOUT, Rollout, RolloutKind, RolloutMove, RolloutState
from anew.core.rollouts.naming import version_of
from anew.core.rollouts.stages import takes_all
from anew.engine.base.context import Engine
from anew.engine.base.transition import move_rollout
from anew.engine.rollouts.deploy import rollback_to
from anew.errors import InvalidRequest, NothingKnown

_BEGUN = OPEN_ROLLOUT - {RolloutState.PENDING}
_NO_TRAFFIC_YET = frozenset({RolloutState.PENDING, RolloutState.CREATING})


def request_rollback(
    engine: Engine, model: str, why: str, now: datetime, *, to: str | None = None, endpoint: str | None = None
) -> Rollout:
    """Send a model's endpoint (its name, or `kind/name`) back: a rollout under way is given up, or else the version
    before comes back. Asking again while that is under way, or still watched, changes nothing.

    Returns the rollout that goes back, which the next pass, or advance_rollout, goes on with. Raises NothingKnown when
    anew brought no version of the model anywhere, InvalidRequest when it cannot be told what to go back to, StaleWrite.
    """
    known = engine.ledger.rollouts(model=model, limit=10_000)
    rollouts = _at_one_endpoint(model, [each for each in known if endpoint in (None, each.endpoint, each.place)])
    if to is None and (done := _just_sent_back(rollouts, now)):
        return done
    return roll_back(engine, rollouts, _current(model, rollouts, to), why, now, to=to)


def roll_back(
    engine: Engine, rollouts: Sequence[Rollout], current: Rollout, why: str, now: datetime, *, to: str | None = None
) -> Rollout:
    """Go back from the rollout that decides who serves; `rollouts` are all of its model at its endpoint, oldest first.

    Safe to repeat on what was read once: the second time finds the move made, or the same rollback opened.
    """
    going = [each for each in rollouts if _is_rolling_back(each)]
    if going and to in (None, _leads_to(going[-1])):
        return going[-1]
    if _may_be_given_up(current) and to in (None, version_of(current.previous_version, current.model)):
        return move_rollout(engine, current, _way_out(current), now, reason=why)
    target = to or _before(rollouts, current)
    if target is None:
        raise InvalidRequest(
            f"nothing is known of what served before {current.model}:{current.version} on {current.endpoint}",
            advice=f"Name a version: anew rollback {current.model} --to VERSION",
        )
    return _open(engine, rollouts, current, target, why, now)


# --- what is under way, and what serves -------------------------------------------------------------------


def _at_one_endpoint(model: str, rollouts: Sequence[Rollout]) -> list[Rollout]:
    decides = [each for each in rollouts if each.state in _BEGUN | SERVING_ROLLOUT] or rollouts
    places = sorted({each.place for each in decides})
    if len(places) > 1:
        raise InvalidRequest(
            f"{model} serves at {', '.join(places)}", advice=f"Name one: anew rollback {model} --endpoint NAME"
        )
    return [each for each in rollouts if each.place in places]


def _current(model: str, rollouts: Sequence[Rollout], to: str | None) -> Rollout:
    """The rollout that decides who serves: the open one that has begun, else the newest that serves. For a version that
    is named, one that has ended will do: what serves was never anew's.
    """
    begun = [each for each in rollouts if each.state in _BEGUN]
    serving = sorted((each for each in rollouts if each.state in SERVING_ROLLOUT), key=lambda each: each.state_since)
    waiting = [each for each in rollouts if each.state is RolloutState.PENDING]
    found = begun or serving or waiting or (rollouts if to is not None else ())
    if not found:
        raise NothingKnown(
            f"anew has brought no version of {model} to an endpoint, so there is nothing to go back from"
        )
    return found[-1]


def _just_sent_back(rollouts: Sequence[Rollout], now: datetime) -> Rollout | None:
    """The release that was sent back from all traffic so lately that what came back would still be watched, had it
    come by a rollout of its own: who asks twice means it once.
    """
    if any(each.state in _BEGUN for each in rollouts):
        return None
    newest = max(
        (each for each in rollouts if each.state in {*SERVING_ROLLOUT, RolloutState.ROLLED_BACK}),
        key=lambda each: each.state_since,
        default=None,
    )
    if newest is None or newest.state is not RolloutState.ROLLED_BACK:
        return None
    rule = DEPLOY_ADAPTER.validate_python(newest.spec)
    return newest if takes_all(rule, newest.step) and now < newest.state_since + rule.bake else None


def _is_rolling_back(rollout: Rollout) -> bool:
    return rollout.state is RolloutState.ABORTING or (rollout.kind is RolloutKind.ROLLBACK and rollout.is_open)


def _leads_to(rollout: Rollout) -> str | None:
    """The version that serves when this one, which goes back, has ended."""
    back = rollout.state is RolloutState.ABORTING
    return version_of(rollout.previous_version, rollout.model) if back else rollout.version


def _may_be_given_up(current: Rollout) -> bool:
    """Whether giving the rollout up leaves the endpoint with what served before. Where nothing did, giving up a version
    that has the traffic would leave nobody to answer.
    """
    has_way_back = current.previous is not None or current.state in _NO_TRAFFIC_YET
    opened = current.is_open and current.state is not RolloutState.ABORTING
    return opened and current.kind is RolloutKind.RELEASE and has_way_back


def _before(rollouts: Sequence[Rollout], current: Rollout) -> str | None:
    """The version that served before this one was released; not the one it may have been brought back from."""
    releases = [each for each in rollouts if each.kind is RolloutKind.RELEASE and each.version == current.version]
    return version_of(releases[-1].previous_version, current.model) if releases else None


# --- going ------------------------------------------------------------------------------------------------


def _open(
    engine: Engine, rollouts: Sequence[Rollout], current: Rollout, target: str, why: str, now: datetime
) -> Rollout:
    if target == current.version and (current.is_open or current.state in SERVING_ROLLOUT):
        how = "serves" if current.state in SERVING_ROLLOUT else f"is {current.state}"
        raise InvalidRequest(f"{current.model}:{target} {how} on {current.endpoint} already")
    registered = engine.registry.get(current.model, target)
    if registered is None:
        raise InvalidRequest(f"{current.model}:{target} is not in the registry")
    _make_way(engine, rollouts, current, why, now)
    earlier = [each for each in rollouts if each.version == target]
    rule = DEPLOY_ADAPTER.validate_python((earlier[-1] if earlier else current).spec)
    # Numbered, so that one that failed can be asked for again, and one that is under way cannot be opened twice.
    tried = sum(each.kind is RolloutKind.ROLLBACK and not each.is_open for each in earlier)
    rollback = rollback_to(registered, rule, f"{current.id}/{tried}", why, now)
    engine.ledger.add_rollout(rollback, engine.actor)
    return engine.ledger.rollout(rollback.id) or rollback


def _make_way(engine: Engine, rollouts: Sequence[Rollout], current: Rollout, why: str, now: datetime) -> None:
    """End what would go first: another rollback that waits, and what has the endpoint."""
    waiting = (each for each in rollouts if each.kind is RolloutKind.ROLLBACK and each.state is RolloutState.PENDING)
    for each in (*waiting, current):
        if each.is_open and each.state is not RolloutState.ABORTING:
            move_rollout(engine, each, _way_out(each), now, reason=why)


def _way_out(rollout: Rollout) -> RolloutMove:
    """How an open rollout makes way. One that brought a version back does not bring the bad one in again."""
    if rollout.state is RolloutState.PENDING:
        return RolloutMove.FAILED
    brought_back = rollout.kind is RolloutKind.ROLLBACK and rollout.state is RolloutState.BAKING
    return RolloutMove.BAKED if brought_back else RolloutMove.ABORT
