"""Rolling an endpoint back, for a person or for a decision."""

from collections.abc import Sequence
from datetime import datetime
from typing import assert_never

from anew.core.rollouts.lifecycle import Rollout
from anew.core.rollouts.rollback_plan import (
    AbortRollout,
    AlreadyRolledBack,
    BringBack,
    RollbackPlan,
    at_one_endpoint,
    plan_requested,
    plan_rollback,
    way_out,
)
from anew.engine.base.context import Engine
from anew.engine.base.transition import move_rollout
from anew.engine.rollouts.opening import new_rollout
from anew.errors import InvalidRequest


def request_rollback(
    engine: Engine, model: str, reason: str, now: datetime, *, to: str | None = None, endpoint: str | None = None
) -> Rollout:
    """Roll back a model at its endpoint (a name, or `kind/name`): abort its rollout, or bring the version before back.

    Requesting it again while it is under way, or while the version that returned bakes, changes nothing. Returns the
    rollout that rolls back; `advance_rollouts` takes it further. Raises NothingKnown when anew released no version of
    the model, InvalidRequest when the version to return to is unknown or serves, and StaleWrite.
    """
    known = engine.ledger.rollouts(model=model, limit=10_000)
    rollouts = at_one_endpoint(model, [each for each in known if endpoint in (None, each.endpoint, each.place)])
    return _carry_out(engine, plan_requested(model, rollouts, to, now), reason, now)


def roll_back(engine: Engine, rollouts: Sequence[Rollout], current: Rollout, reason: str, now: datetime) -> Rollout:
    """Roll back from the rollout that serves; `rollouts` are all of its model at its endpoint, oldest first.

    Safe to repeat with the same arguments: the second call raises StaleWrite, or finds the same rollback open.
    """
    return _carry_out(engine, plan_rollback(rollouts, current), reason, now)


def _carry_out(engine: Engine, plan: RollbackPlan, reason: str, now: datetime) -> Rollout:
    match plan:
        case AlreadyRolledBack():
            return plan.rollout
        case AbortRollout():
            return move_rollout(engine, plan.rollout, way_out(plan.rollout), now, reason=reason)
        case BringBack():
            registered = engine.registry.get(plan.model, plan.version)
            if registered is None:
                raise InvalidRequest(f"{plan.model}:{plan.version} is not in the registry")
            for each in plan.in_the_way:
                move_rollout(engine, each, way_out(each), now, reason=reason)
            rollback = new_rollout(registered, plan.rule, now, occasion=plan.occasion, reason=reason)
            engine.ledger.add_rollout(rollback, engine.actor)
            return engine.ledger.rollout(rollback.id) or rollback
        case _:
            assert_never(plan)
