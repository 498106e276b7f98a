"""The only writer of state: every move of a retraining or rollout goes through here."""

import logging
from dataclasses import replace
from datetime import datetime
from typing import Any

from anew.core.lifecycle import (
    Retraining,
    RetrainingMove,
    Rollout,
    RolloutMove,
    next_retraining_state,
    next_rollout_state,
)
from anew.engine.context import Engine

logger = logging.getLogger(__name__)


def move_retraining(
    engine: Engine, retraining: Retraining, move: RetrainingMove, now: datetime, **changes: Any
) -> Retraining:
    """Make a move and keep what came with it. Raises StaleWrite, or IllegalTransition for a move the table lacks."""
    state = next_retraining_state(retraining.state, move)
    moved = replace(retraining, state=state, state_since=now, **changes)
    logger.info("retraining %s of %s: %s -> %s", moved.id, moved.model, retraining.state, state)
    return engine.ledger.save_retraining(moved, move, engine.actor, now, changes)


def fail(engine: Engine, retraining: Retraining, reason: str, now: datetime) -> Retraining:
    """End a retraining that nothing of runs outside any more."""
    return move_retraining(engine, retraining, RetrainingMove.FAILED, now, reason=reason)


def note_retraining(engine: Engine, retraining: Retraining, what: str, now: datetime, **changes: Any) -> Retraining:
    """Keep a change that is no move: an intent, or a version chosen anew. Raises StaleWrite."""
    return engine.ledger.save_retraining(replace(retraining, **changes), what, engine.actor, now, changes)


def move_rollout(engine: Engine, rollout: Rollout, move: RolloutMove, now: datetime, **changes: Any) -> Rollout:
    """Make a move and keep what came with it. Raises StaleWrite, or IllegalTransition for a move the table lacks."""
    state = next_rollout_state(rollout.state, move)
    moved = replace(rollout, state=state, state_since=now, **changes)
    logger.info("rollout %s of %s:%s: %s -> %s", moved.id, moved.model, moved.version, rollout.state, state)
    return engine.ledger.save_rollout(moved, move, engine.actor, now, changes)
