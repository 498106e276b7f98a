"""The life of a rollout: states, moves, and the table that says which move leads where.

The table drives the machine; the reasons kept beside the state only explain it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from anew.errors import IllegalTransition


class RolloutKind(StrEnum):
    """Whether a version is new here, or served before and comes back."""

    RELEASE = "release"
    ROLLBACK = "rollback"


class RolloutState(StrEnum):
    """Where one rollout stands."""

    PENDING = "pending"  # waits for the endpoint, or has not begun
    CREATING = "creating"  # the new deployment is being made
    SHIFTING = "shifting"  # it takes a share of the traffic, mirrored or live
    BAKING = "baking"  # it takes all the traffic, and is watched; the old one stays, warm
    ABORTING = "aborting"  # given up; the traffic goes back
    LIVE = "live"
    ROLLED_BACK = "rolled-back"
    FAILED = "failed"  # it never took live traffic


class RolloutMove(StrEnum):
    """What can happen to a rollout."""

    STARTED = "started"
    STEPPED = "stepped"
    FILLED = "filled"  # it takes all the traffic
    BAKED = "baked"
    ABORT = "abort"  # the traffic is to go back
    ABORTED = "aborted"
    FAILED = "failed"


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
SERVING_ROLLOUT = frozenset({RolloutState.BAKING, RolloutState.LIVE})


@dataclass(frozen=True, slots=True)
class Rollout:
    """The way of one model version to all traffic of one endpoint.

    `spec` is the deploy rule as it was when the rollout was opened. `step` indexes the stage reached, -1 before any;
    `state_since` is when its traffic was written. `previous` is the deployment that served most before, None when
    none did, and `previous_version` its `model:version`. `failures` and `errors` are looks in a row that failed, and
    that could not be made.
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
    request_reason: str | None = None  # who asked for it and why; None for a release by tags
    reason: str | None = None  # how it ended, or what holds it

    @property
    def endpoint_kind(self) -> str:
        """Online or batch."""
        return str(self.spec.get("kind", "online"))

    @property
    def place(self) -> str:
        """The endpoint with its kind: an online and a batch endpoint may be called the same."""
        return f"{self.endpoint_kind}/{self.endpoint}"

    @property
    def is_open(self) -> bool:
        """Whether anything is still to happen."""
        return self.state in OPEN_ROLLOUT


def next_rollout_state(state: RolloutState, move: RolloutMove) -> RolloutState:
    """The state a move leads to. Raises IllegalTransition for a move the table does not have."""
    try:
        return ROLLOUT_TRANSITIONS[state][move]
    except KeyError:
        raise IllegalTransition(f"a rollout that is {state} cannot be {move}") from None
