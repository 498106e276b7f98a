"""The life of a retraining: states, moves, and the table that says which move leads where.

The table drives the machine; the reasons kept beside the state only explain it.
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
    AWAITING_DATA = "awaiting-data"  # the gate could not tell; more rows are waited for
    AWAITING_APPROVAL = "awaiting-approval"  # a person has to agree; no answer is a no
    REGISTERING = "registering"  # it is to become a version
    CANCELING = "canceling"  # given up; what runs outside is being stopped
    REGISTERED = "registered"
    REJECTED = "rejected"  # the gate did not pass, or nobody agreed
    FAILED = "failed"
    CANCELED = "canceled"


class StopCause(StrEnum):
    """Why a retraining is stopped before its end."""

    REQUESTED = "requested"  # by a person
    SUPERSEDED = "superseded"  # newer drift asks for a training on newer data
    TIMED_OUT = "timed-out"


class ApprovalDecision(StrEnum):
    """What a person said of a candidate."""

    APPROVED = "approved"
    REJECTED = "rejected"
    FORCED = "forced"  # to be registered whatever the gate said


class RetrainingMove(StrEnum):
    """What can happen to a retraining."""

    LAUNCHED = "launched"
    TRAINED = "trained"
    PASSED = "passed"
    INCONCLUSIVE = "inconclusive"  # the rows are too few to tell
    RETRIED = "retried"  # evaluated again: on newer rows, or against the version that serves now
    ASKED = "asked"  # a person is
    APPROVED = "approved"
    FORCED = "forced"
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
        RetrainingMove.INCONCLUSIVE: RetrainingState.AWAITING_DATA,
        RetrainingMove.ASKED: RetrainingState.AWAITING_APPROVAL,
        RetrainingMove.REJECTED: RetrainingState.REJECTED,
        RetrainingMove.STOP: RetrainingState.CANCELING,
        RetrainingMove.FAILED: RetrainingState.FAILED,
    },
    RetrainingState.AWAITING_DATA: {
        RetrainingMove.RETRIED: RetrainingState.EVALUATING,
        RetrainingMove.ASKED: RetrainingState.AWAITING_APPROVAL,
        RetrainingMove.FORCED: RetrainingState.REGISTERING,
        RetrainingMove.REJECTED: RetrainingState.REJECTED,
        RetrainingMove.STOP: RetrainingState.CANCELING,
    },
    RetrainingState.AWAITING_APPROVAL: {
        RetrainingMove.APPROVED: RetrainingState.REGISTERING,
        RetrainingMove.FORCED: RetrainingState.REGISTERING,
        RetrainingMove.REJECTED: RetrainingState.REJECTED,
        RetrainingMove.STOP: RetrainingState.CANCELING,
    },
    RetrainingState.REGISTERING: {
        RetrainingMove.RETRIED: RetrainingState.EVALUATING,
        RetrainingMove.REJECTED: RetrainingState.REJECTED,
        RetrainingMove.REGISTERED: RetrainingState.REGISTERED,
        RetrainingMove.FAILED: RetrainingState.FAILED,
    },
    RetrainingState.CANCELING: {
        RetrainingMove.CANCELED: RetrainingState.CANCELED,
        RetrainingMove.FAILED: RetrainingState.FAILED,
    },
    RetrainingState.REGISTERED: {},
    RetrainingState.REJECTED: {
        RetrainingMove.FORCED: RetrainingState.REGISTERING,
    },
    RetrainingState.FAILED: {},
    RetrainingState.CANCELED: {},
}
OPEN_RETRAINING = frozenset(
    {
        RetrainingState.LAUNCHING,
        RetrainingState.TRAINING,
        RetrainingState.EVALUATING,
        RetrainingState.AWAITING_DATA,
        RetrainingState.AWAITING_APPROVAL,
        RetrainingState.REGISTERING,
        RetrainingState.CANCELING,
    }
)
"""Something is still to happen. What was rejected has ended, though a person may still force it."""

ADOPTED = "adopted"
"""The launcher of a training that somebody else started, and a policy claims."""


@dataclass(frozen=True, slots=True)
class Retraining:
    """One attempt to train, gate and register a new version of one model.

    `job_name` and `evaluation_job` are deterministic: after a crash the effect is found by them. `revision`
    rises with each write, so that a stale writer loses. `champion_version` is what the candidate was last compared
    with; `evaluations` counts evaluations, that of `evaluation_job` included.
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
    intended_at: datetime | None = None  # when a run or an evaluation was last asked for, until the run is known
    external_run_id: str | None = None
    training_data: str | None = None  # the hash of its rows, as the training told it
    git_commit: str | None = None  # of the training's code
    champion_version: str | None = None
    champion_changes: int = 0  # how often another version went live after a gate had passed
    gate: GateResult | None = None
    evaluations: int = 1
    inconclusive_since: datetime | None = None  # the first hold
    approval_deadline: datetime | None = None  # when no answer becomes a no
    approval: ApprovalDecision | None = None
    approval_by: str | None = None
    approval_reason: str | None = None
    new_version: str | None = None
    reason: str | None = None
    charge: float | None = None  # what the policy's budget was charged with
    stopped_for: StopCause | None = None

    @property
    def is_open(self) -> bool:
        """Whether anything is still to happen."""
        return self.state in OPEN_RETRAINING

    @property
    def is_adopted(self) -> bool:
        """Whether somebody else started the training, which is therefore not ours to cancel."""
        return self.launcher == ADOPTED

    @property
    def next_evaluation_job(self) -> str:
        """The name of the evaluation after that of `evaluation_job`: the first has no number."""
        first = self.evaluation_job.removesuffix(f"-{self.evaluations}" if self.evaluations > 1 else "")
        return f"{first}-{self.evaluations + 1}"

    def candidate_path(self, output: str) -> str:
        """Where the training job leaves its candidate, when this is the name of its output."""
        return f"azureml://jobs/{self.job_name}/outputs/{output}"


def next_retraining_state(state: RetrainingState, move: RetrainingMove) -> RetrainingState:
    """The state a move leads to. Raises IllegalTransition for a move the table does not have."""
    try:
        return RETRAINING_TRANSITIONS[state][move]
    except KeyError:
        raise IllegalTransition(f"a retraining that is {state} cannot be {move}") from None
