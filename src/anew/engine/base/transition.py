"""The only writer of state: every change of a retraining or a rollout goes through these functions."""

import logging
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol

from anew.core.retrainings.lifecycle import Retraining, RetrainingMove, next_retraining_state
from anew.core.rollouts.lifecycle import Rollout, RolloutMove, next_rollout_state
from anew.core.rollouts.traffic import TrafficChange
from anew.engine.base.context import Engine
from anew.engine.base.ledger import Ledger

logger = logging.getLogger(__name__)


class Recorder(Protocol):
    """The part of an Engine that a change of state needs."""

    @property
    def ledger(self) -> Ledger: ...
    @property
    def actor(self) -> str: ...


def move_retraining(
    recorder: Recorder, retraining: Retraining, move: RetrainingMove, now: datetime, **changes: Any
) -> Retraining:
    """Make a move and save it with *changes*. Raises StaleWrite, or IllegalTransition for a move not in the table."""
    state = next_retraining_state(retraining.state, move)
    moved = replace(retraining, state=state, state_since=now, **changes)
    logger.info("retraining %s of %s: %s -> %s", moved.id, moved.model, retraining.state, state)
    return recorder.ledger.save_retraining(moved, move, recorder.actor, now, changes)


def fail(engine: Engine, retraining: Retraining, reason: str, now: datetime) -> Retraining:
    """End a retraining whose external runs have all ended. Raises StaleWrite."""
    return move_retraining(engine, retraining, RetrainingMove.FAILED, now, reason=reason)


def note_retraining(engine: Engine, retraining: Retraining, what: str, now: datetime, **changes: Any) -> Retraining:
    """Save a change that is not a move, such as an intent or a new version number. Raises StaleWrite."""
    return engine.ledger.save_retraining(replace(retraining, **changes), what, engine.actor, now, changes)


def move_rollout(
    engine: Engine,
    rollout: Rollout,
    move: RolloutMove,
    now: datetime,
    traffic: TrafficChange | None = None,
    **changes: Any,
) -> Rollout:
    """Make a move and save it with *changes* and the change of traffic. Raises StaleWrite, or IllegalTransition for a
    move not in the table.
    """
    state = next_rollout_state(rollout.state, move)
    moved = replace(rollout, state=state, state_since=now, **changes)
    logger.info("rollout %s of %s:%s: %s -> %s", moved.id, moved.model, moved.version, rollout.state, state)
    return engine.ledger.save_rollout(moved, move, engine.actor, now, changes, traffic)


def note_rollout(engine: Engine, rollout: Rollout, what: str, now: datetime, **changes: Any) -> Rollout:
    """Save a change that is not a move, such as the measurement of a stage. Raises StaleWrite."""
    return engine.ledger.save_rollout(replace(rollout, **changes), what, engine.actor, now, changes)
