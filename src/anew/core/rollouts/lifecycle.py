"""The lifecycle of a rollout: its states, its moves, and the table of the state that each move leads to.

The table alone decides; the reason that is kept beside a state only explains it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from anew.errors import IllegalTransition


class RolloutKind(StrEnum):
    """Whether the version is new at the endpoint, or served there before and returns."""

    RELEASE = "release"
    ROLLBACK = "rollback"


class RolloutState(StrEnum):
    """The state of a rollout. The last three are final."""

    PENDING = "pending"  # it has not started; another rollout may have the endpoint
    CREATING = "creating"  # the new deployment is being created
    SHIFTING = "shifting"  # the new deployment has a share of the traffic, mirrored or live
    BAKING = "baking"  # it has all the traffic and is measured; the old deployment is kept
    ABORTING = "aborting"  # the traffic is being returned to the old deployment
    LIVE = "live"  # it has all the traffic, and the old deployment is not needed any more
    ROLLED_BACK = "rolled-back"  # it had traffic, which was returned
    FAILED = "failed"  # it never had traffic, or the traffic was moved outside anew


class RolloutMove(StrEnum):
    """A move of a rollout to another state, or to its next stage."""

    STARTED = "started"  # it has the endpoint
    STEPPED = "stepped"  # the traffic of its next stage was written
    FILLED = "filled"  # the new deployment was given all the traffic
    BAKED = "baked"  # the bake is over
    ABORT = "abort"  # the traffic has to be returned
    ABORTED = "aborted"  # the traffic was returned
    FAILED = "failed"  # it ended without a change of traffic


ROLLOUT_TRANSITIONS: Mapping[RolloutState, Mapping[RolloutMove, RolloutState]] = {
    RolloutState.PENDING: {
        RolloutMove.STARTED: RolloutState.CREATING,
        RolloutMove.FAILED: RolloutState.FAILED,
    },
    RolloutState.CREATING: {
        RolloutMove.STEPPED: RolloutState.SHIFTING,
        RolloutMove.FILLED: RolloutState.BAKING,
        RolloutMove.ABORT: RolloutState.ABORTING,
    },
    RolloutState.SHIFTING: {
        RolloutMove.STEPPED: RolloutState.SHIFTING,
        RolloutMove.FILLED: RolloutState.BAKING,
        RolloutMove.ABORT: RolloutState.ABORTING,
    },
    RolloutState.BAKING: {
        RolloutMove.BAKED: RolloutState.LIVE,
        RolloutMove.ABORT: RolloutState.ABORTING,
    },
    RolloutState.ABORTING: {
        RolloutMove.ABORTED: RolloutState.ROLLED_BACK,
        RolloutMove.FAILED: RolloutState.FAILED,
    },
    RolloutState.LIVE: {},
    RolloutState.ROLLED_BACK: {},
    RolloutState.FAILED: {},
}
OPEN_ROLLOUT = frozenset(state for state, moves in ROLLOUT_TRANSITIONS.items() if moves)
"""The states of a rollout that is not over."""
SERVING_ROLLOUT = frozenset({RolloutState.BAKING, RolloutState.LIVE})
"""The states of a rollout whose version was given all the traffic and may keep it."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """Moving the traffic of one endpoint to one model version, in stages.

    `spec` is the deploy rule as it was when the rollout was opened. `step` is the index of the stage reached, -1 before
    the first; `state_since` is when its traffic was written. `previous` is the deployment that served before, None when
    there was none, and `previous_version` its `model:version`. `measurements` counts those of this stage; `failures`
    are the newest of them that failed, `errors` the newest attempts that could not read the traffic log.
    """

    id: str
    model: str
    version: str
    endpoint: str
    deployment: str
    spec: Mapping[str, Any]
    created_at: datetime
    state_since: datetime
    kind: RolloutKind = RolloutKind.RELEASE
    state: RolloutState = RolloutState.PENDING
    revision: int = 0
    step: int = -1
    previous: str | None = None
    previous_version: str | None = None
    measured_at: datetime | None = None
    measurements: int = 0
    failures: int = 0
    errors: int = 0
    retraining_id: str | None = None
    request_reason: str | None = None  # why it was requested; None for a release by tags
    reason: str | None = None  # how it ended, or its newest measurement

    @property
    def endpoint_kind(self) -> str:
        """`online` or `batch`."""
        return str(self.spec.get("kind", "online"))

    @property
    def place(self) -> str:
        """The endpoint as `kind/name`: an online and a batch endpoint may have the same name."""
        return f"{self.endpoint_kind}/{self.endpoint}"

    @property
    def is_open(self) -> bool:
        """Whether it is not over."""
        return self.state in OPEN_ROLLOUT


def next_rollout_state(state: RolloutState, move: RolloutMove) -> RolloutState:
    """The state that a move leads to. Raises IllegalTransition when the table does not have it."""
    try:
        return ROLLOUT_TRANSITIONS[state][move]
    except KeyError:
        raise IllegalTransition(f"a rollout that is {state} cannot be {move}") from None


def abort_move(state: RolloutState) -> RolloutMove:
    """The move that aborts a rollout in this state: one that has not started has nothing to return."""
    return RolloutMove.FAILED if state is RolloutState.PENDING else RolloutMove.ABORT
