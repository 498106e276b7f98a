"""The lifecycle of a retraining: its states, its moves, and the table of which move leads to which state.

Only the table decides; the reasons recorded beside a state explain it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from anew.core.gate import GateResult
from anew.errors import IllegalTransition


class RetrainingState(StrEnum):
    """The state of one retraining."""

    LAUNCHING = "launching"  # decided; the external run may or may not exist yet
    TRAINING = "training"
    EVALUATING = "evaluating"  # candidate and champion are scored on the same rows
    AWAITING_DATA = "awaiting-data"  # the gate was inconclusive; it is evaluated again on newer rows
    AWAITING_APPROVAL = "awaiting-approval"  # a person has to approve; no answer is a no
    REGISTERING = "registering"  # the candidate becomes a version
    CANCELING = "canceling"  # stopped; its runs in Azure are being cancelled
    REGISTERED = "registered"
    REJECTED = "rejected"  # by the gate, or for want of an approval
    FAILED = "failed"
    CANCELED = "canceled"


class StopCause(StrEnum):
    """Why a retraining was stopped."""

    REQUESTED = "requested"  # by a person
    SUPERSEDED = "superseded"  # by newer drift, which needs newer data
    TIMED_OUT = "timed-out"


class ApprovalDecision(StrEnum):
    """A person's decision on a candidate."""

    APPROVED = "approved"
    REJECTED = "rejected"
    FORCED = "forced"  # registered whatever the gate said


class RetrainingMove(StrEnum):
    """What can happen to a retraining."""

    LAUNCHED = "launched"
    TRAINED = "trained"
    PASSED = "passed"
    INCONCLUSIVE = "inconclusive"  # too few rows
    RETRIED = "retried"  # evaluated again: on newer rows, or against another champion
    ASKED = "asked"  # for an approval
    APPROVED = "approved"
    FORCED = "forced"
    REJECTED = "rejected"
    REGISTERED = "registered"
    FAILED = "failed"
    STOP = "stop"  # its runs in Azure are to be cancelled
    CANCELED = "canceled"  # its runs in Azure have stopped


_S, _M = RetrainingState, RetrainingMove
RETRAINING_TRANSITIONS: Mapping[RetrainingState, Mapping[RetrainingMove, RetrainingState]] = {
    _S.LAUNCHING: {_M.LAUNCHED: _S.TRAINING, _M.STOP: _S.CANCELING, _M.FAILED: _S.FAILED},
    _S.TRAINING: {_M.TRAINED: _S.EVALUATING, _M.STOP: _S.CANCELING, _M.FAILED: _S.FAILED},
    _S.EVALUATING: {
        _M.PASSED: _S.REGISTERING,
        _M.INCONCLUSIVE: _S.AWAITING_DATA,
        _M.ASKED: _S.AWAITING_APPROVAL,
        _M.REJECTED: _S.REJECTED,
        _M.STOP: _S.CANCELING,
        _M.FAILED: _S.FAILED,
    },
    _S.AWAITING_DATA: {
        _M.RETRIED: _S.EVALUATING,
        _M.ASKED: _S.AWAITING_APPROVAL,
        _M.FORCED: _S.REGISTERING,
        _M.REJECTED: _S.REJECTED,
        _M.STOP: _S.CANCELING,
    },
    _S.AWAITING_APPROVAL: {
        _M.APPROVED: _S.REGISTERING,
        _M.FORCED: _S.REGISTERING,
        _M.REJECTED: _S.REJECTED,
        _M.STOP: _S.CANCELING,
    },
    _S.REGISTERING: {
        _M.RETRIED: _S.EVALUATING,
        _M.REJECTED: _S.REJECTED,
        _M.REGISTERED: _S.REGISTERED,
        _M.FAILED: _S.FAILED,
    },
    _S.CANCELING: {_M.CANCELED: _S.CANCELED, _M.FAILED: _S.FAILED},
    _S.REGISTERED: {},
    _S.REJECTED: {_M.FORCED: _S.REGISTERING},
    _S.FAILED: {},
    _S.CANCELED: {},
}
OPEN_RETRAINING = frozenset(RetrainingState) - {_S.REGISTERED, _S.REJECTED, _S.FAILED, _S.CANCELED}
"""States that are not the end. A rejected retraining has ended, although a person may still force it."""

ADOPTED = "adopted"
"""The launcher of a training that somebody else started and a policy adopts."""


@dataclass(frozen=True, slots=True)
class Retraining:
    """One attempt to train, gate and register a new version of one model.

    `job_name` and `evaluation_job` are deterministic, so that the jobs are found after a crash. `revision` rises with
    each write, so that a stale writer loses. `champion_version` is the version the candidate was last compared with;
    `evaluations` counts evaluations, including that of `evaluation_job`.
    """

    id: str
    decision_id: str
    model: str
    launcher: str
    launcher_spec: Mapping[str, Any]  # the policy's launcher at the time of the decision
    job_name: str
    evaluation_job: str
    created_at: datetime
    state_since: datetime
    state: RetrainingState = RetrainingState.LAUNCHING
    revision: int = 0
    intended_at: datetime | None = None  # when a run or an evaluation was last requested, until the run is known
    external_run_id: str | None = None
    training_data: str | None = None  # the hash of its rows, as the training reported it
    git_commit: str | None = None  # of the training's code
    champion_version: str | None = None
    champion_changes: int = 0  # how often another version went live after a gate had passed
    gate: GateResult | None = None
    evaluations: int = 1
    inconclusive_since: datetime | None = None  # the first inconclusive result
    approval_deadline: datetime | None = None  # then no answer is a no
    approval: ApprovalDecision | None = None
    approval_by: str | None = None
    approval_reason: str | None = None
    new_version: str | None = None
    reason: str | None = None
    charge: float | None = None  # to the policy's budget
    stopped_for: StopCause | None = None

    @property
    def is_open(self) -> bool:
        """Whether the retraining has not ended."""
        return self.state in OPEN_RETRAINING

    @property
    def is_adopted(self) -> bool:
        """Whether somebody else started the training; anew does not cancel it."""
        return self.launcher == ADOPTED

    @property
    def next_evaluation_job(self) -> str:
        """The name of the job after `evaluation_job`. The first has no number, the second ends in -2."""
        first = self.evaluation_job.removesuffix(f"-{self.evaluations}" if self.evaluations > 1 else "")
        return f"{first}-{self.evaluations + 1}"

    def candidate_path(self, output: str) -> str:
        """Where the training job leaves its candidate, when this is the name of its output."""
        return f"azureml://jobs/{self.job_name}/outputs/{output}"


def next_retraining_state(state: RetrainingState, move: RetrainingMove) -> RetrainingState:
    """The state to which a move leads. Raises IllegalTransition for a move that the table does not have."""
    try:
        return RETRAINING_TRANSITIONS[state][move]
    except KeyError:
        raise IllegalTransition(f"a retraining that is {state} cannot be {move}") from None
