"""The driver of rollouts: it takes the oldest of each endpoint through its states until nothing moves."""

from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from anew.core.policies.deploy import Deploy
from anew.core.rollouts.lifecycle import OPEN_ROLLOUT, Rollout, RolloutKind, RolloutState, abort_move
from anew.core.rollouts.progress import is_stalled
from anew.core.rollouts.stages import rule_of
from anew.engine.base.context import Engine
from anew.engine.base.transition import move_rollout
from anew.engine.notifications.notify import notify_of_rollout
from anew.engine.rollouts.aborting import return_traffic
from anew.engine.rollouts.baking import bake
from anew.engine.rollouts.creating import create
from anew.engine.rollouts.shifting import shift
from anew.engine.rollouts.starting import start
from anew.engine.serving.endpoint_lease import endpoint_lease
from anew.errors import AnewError, AzureRefused, AzureUnavailable, StaleWrite, TrafficMoved

_STEPS_AT_MOST = 16


@dataclass(frozen=True, slots=True)
class RolloutPass:
    """The rollouts of a pass as they now are, and why some could not be opened or advanced yet."""

    rollouts: tuple[Rollout, ...] = ()
    deferred: tuple[str, ...] = ()


def advance_rollouts(engine: Engine, now: datetime, place: str | None = None) -> RolloutPass:
    """Advance the rollout whose turn it is at each endpoint, or at this one (`kind/name`); the others wait."""
    done: list[Rollout] = []
    deferred: list[str] = []
    busy: set[str] = set()
    for rollout in sorted(engine.ledger.rollouts(OPEN_ROLLOUT), key=_turn):
        if rollout.place in busy or place not in (None, rollout.place):
            continue
        try:
            moved = advance_rollout(engine, rollout, now)
        except AnewError as error:
            deferred.append(f"{rollout.id}: {error}")
            moved = rollout
        done.append(moved)
        if moved.is_open:
            busy.add(rollout.place)
    return RolloutPass(tuple(done), tuple(deferred))


def _turn(rollout: Rollout) -> tuple[bool, bool, datetime]:
    """Orders rollouts: those that have started before those that wait, rollbacks before releases, old before new."""
    return rollout.state is RolloutState.PENDING, rollout.kind is not RolloutKind.ROLLBACK, rollout.created_at


def advance_rollout(engine: Engine, rollout: Rollout, now: datetime) -> Rollout:
    """Take every step that this rollout is ready for, with the lease of its endpoint.

    Raises TemporaryError when Azure or the ledger does not answer; the steps recorded so far remain.
    """
    with endpoint_lease(engine, rollout.place, now) as leased:
        # The rollout may have been read before another worker moved it.
        rollout = engine.ledger.rollout(rollout.id) or rollout
        if leased is None:
            return rollout
        for _ in range(_STEPS_AT_MOST):
            if not rollout.is_open:
                return rollout
            try:
                moved = _step(leased, rollout, now)
            except StaleWrite:
                return engine.ledger.rollout(rollout.id) or rollout
            if moved.revision == rollout.revision:
                return moved
            rollout = moved
        return rollout


def _step(engine: Engine, rollout: Rollout, now: datetime) -> Rollout:
    """Take one step, or abort the rollout when it cannot go on, and notify of a new state."""
    try:
        moved = _stage(engine, rollout, rule_of(rollout), now)
    except TrafficMoved as error:
        moved = _abort(engine, rollout, f"the traffic was moved by somebody else: {error}", now)
    except AzureRefused as error:
        if rollout.state in (RolloutState.BAKING, RolloutState.ABORTING):
            raise  # the version serves, or aborting is all that is left: a person has to look
        moved = _abort(engine, rollout, f"refused: {error}", now)
    except AzureUnavailable as error:
        if not is_stalled(rollout, engine.timing.rollout_stalled, now):
            raise
        moved = _abort(engine, rollout, f"still {rollout.state}: {error}", now)
    if moved.state is not rollout.state:
        notify_of_rollout(engine, moved)
    return moved


def _stage(engine: Engine, rollout: Rollout, rule: Deploy, now: datetime) -> Rollout:
    match rollout.state:
        case RolloutState.PENDING:
            return start(engine, rollout, rule, now)
        case RolloutState.CREATING:
            return create(engine, rollout, rule, now)
        case RolloutState.SHIFTING:
            return shift(engine, rollout, rule, now)
        case RolloutState.BAKING:
            return bake(engine, rollout, rule, now)
        case RolloutState.ABORTING:
            return return_traffic(engine, rollout, rule, now)
        case RolloutState.LIVE | RolloutState.ROLLED_BACK | RolloutState.FAILED:
            return rollout
        case _:
            assert_never(rollout.state)


def _abort(engine: Engine, rollout: Rollout, reason: str, now: datetime) -> Rollout:
    return move_rollout(engine, rollout, abort_move(rollout.state), now, reason=reason)
