"""The life of a retraining and of a rollout: states, moves, and the tables that say which move leads where.

Everything that decides what may follow what is in this file. `STATES` drive the machine; the reasons kept
beside them only explain it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from anew.core.gate import GateResult
from anew.errors import IllegalTransition


class RetrainingState(StrEnum):
    """Where one retraining stands."""

    LAUNCHING = "launching"  # intended; the external run may or may not exist yet
    TRAINING = "training"
    EVALUATING = "evaluating"  # candidate and champion are being scored on the same rows
    REGISTERING = "registering"  # the gate passed; the version to register is fixed
    CANCELING = "canceling"  # given up; what runs outside is being stopped
    REGISTERED = "registered"
    REJECTED = "rejected"  # the gate did not pass
    FAILED = "failed"
    CANCELED = "canceled"


class StopCause(StrEnum):
    """Why a retraining is stopped before its end."""

    REQUESTED = "requested"  # by a person
    SUPERSEDED = "superseded"  # newer drift asks for a training on newer data
    TIMED_OUT = "timed-out"


class RetrainingMove(StrEnum):
    """What can happen to a retraining."""

    LAUNCHED = "launched"
    TRAINED = "trained"
    PASSED = "passed"
    REJECTED = "rejected"
    REGISTERED = "registered"
    FAILED = "failed"
    STOP = "stop"  # what runs outside is to be cancelled
    CANCELED = "canceled"  # nothing runs outside any more


RETRAINING_TRANSITIONS: Mapping[RetrainingState, Mapping[RetrainingMove, RetrainingState]] = {
    RetrainingState.LAUNCHING: {
        RetrainingMove.LAUNCHED: RetrainingState.TRAINING,
        RetrainingMove.STOP: RetrainingState.CANCELING,
        RetrainingMove.FAILED: RetrainingState.FAILED,
    },
    RetrainingState.TRAINING: {
        RetrainingMove.TRAINED: RetrainingState.EVALUATING,
        RetrainingMove.STOP: RetrainingState.CANCELING,
        RetrainingMove.FAILED: RetrainingState.FAILED,
    },
    RetrainingState.EVALUATING: {
        RetrainingMove.PASSED: RetrainingState.REGISTERING,
        RetrainingMove.REJECTED: RetrainingState.REJECTED,
        RetrainingMove.STOP: RetrainingState.CANCELING,
        RetrainingMove.FAILED: RetrainingState.FAILED,
    },
    RetrainingState.REGISTERING: {
        RetrainingMove.REGISTERED: RetrainingState.REGISTERED,
        RetrainingMove.FAILED: RetrainingState.FAILED,
    },
    RetrainingState.CANCELING: {
        RetrainingMove.CANCELED: RetrainingState.CANCELED,
        RetrainingMove.FAILED: RetrainingState.FAILED,
    },
    RetrainingState.REGISTERED: {},
    RetrainingState.REJECTED: {},
    RetrainingState.FAILED: {},
    RetrainingState.CANCELED: {},
}
OPEN_RETRAINING = frozenset(state for state, moves in RETRAINING_TRANSITIONS.items() if moves)


class RolloutState(StrEnum):
    """Where one rollout stands."""

    PENDING = "pending"  # waits for the endpoint, or has not begun
    CREATING = "creating"  # the new deployment is being made
    SHIFTING = "shifting"  # it takes a share of the traffic
    LIVE = "live"
    FAILED = "failed"


class RolloutMove(StrEnum):
    """What can happen to a rollout."""

    STARTED = "started"
    STEPPED = "stepped"
    FINISHED = "finished"
    FAILED = "failed"


ROLLOUT_TRANSITIONS: Mapping[RolloutState, Mapping[RolloutMove, RolloutState]] = {
    RolloutState.PENDING: {
        RolloutMove.STARTED: RolloutState.CREATING,
        RolloutMove.FAILED: RolloutState.FAILED,
    },
    RolloutState.CREATING: {
        RolloutMove.STEPPED: RolloutState.SHIFTING,
        RolloutMove.FAILED: RolloutState.FAILED,
    },
    RolloutState.SHIFTING: {
        RolloutMove.STEPPED: RolloutState.SHIFTING,
        RolloutMove.FINISHED: RolloutState.LIVE,
        RolloutMove.FAILED: RolloutState.FAILED,
    },
    RolloutState.LIVE: {},
    RolloutState.FAILED: {},
}
OPEN_ROLLOUT = frozenset(state for state, moves in ROLLOUT_TRANSITIONS.items() if moves)


@dataclass(frozen=True, slots=True)
class Retraining:
    """One attempt to train, gate and register a new version of one model.

    `job_name` and `evaluation_job` are deterministic: after a crash the effect is found by them. `revision`
    rises with each write, so that a stale writer loses.
    """

    id: str
    decision_id: str
    model: str
    launcher: str
    launcher_spec: Mapping[str, Any]  # the policy's launcher as it was when this was decided
    job_name: str
    evaluation_job: str
    created_at: datetime
    state_since: datetime
    state: RetrainingState = RetrainingState.LAUNCHING
    revision: int = 0
    launch_attempted_at: datetime | None = None
    external_run_id: str | None = None
    champion_version: str | None = None
    gate: GateResult | None = None
    new_version: str | None = None
    reason: str | None = None
    charge: float | None = None  # what the policy's budget was charged with
    stopped_for: StopCause | None = None

    @property
    def is_open(self) -> bool:
        """Whether anything is still to happen."""
        return self.state in OPEN_RETRAINING


@dataclass(frozen=True, slots=True)
class Rollout:
    """The way of one model version to all traffic of one endpoint. `step` indexes the stage reached, -1 before any."""

    id: str
    model: str
    version: str
    endpoint: str
    deployment: str
    rule: int
    created_at: datetime
    state_since: datetime
    state: RolloutState = RolloutState.PENDING
    revision: int = 0
    step: int = -1
    previous: str | None = None
    retraining_id: str | None = None
    reason: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether anything is still to happen."""
        return self.state in OPEN_ROLLOUT


def next_retraining_state(state: RetrainingState, move: RetrainingMove) -> RetrainingState:
    """The state a move leads to. Raises IllegalTransition for a move the table does not have."""
    try:
        return RETRAINING_TRANSITIONS[state][move]
    except KeyError:
        raise IllegalTransition(f"a retraining that is {state} cannot be {move}") from None


def next_rollout_state(state: RolloutState, move: RolloutMove) -> RolloutState:
    """The state a move leads to. Raises IllegalTransition for a move the table does not have."""
    try:
        return ROLLOUT_TRANSITIONS[state][move]
    except KeyError:
        raise IllegalTransition(f"a rollout that is {state} cannot be {move}") from None
