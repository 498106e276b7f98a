"""The texts of notifications, as values."""

from typing import Final

from anew.core.decisions.decision import Decision
from anew.core.decisions.explain import to_notice
from anew.core.retrainings.lifecycle import Retraining, RetrainingState
from anew.core.rollouts.lifecycle import Rollout
from anew.engine.base.ports import Notification

APPROVAL_REQUESTED: Final = "approval.requested"


def decision_notification(model: str, decision_id: str, decision: Decision) -> Notification:
    """The notification of a decision, of the kind `decision.retrain`, `decision.hold`, ..."""
    title, text = to_notice(model, decision_id, decision)
    return Notification(kind=f"decision.{decision.outcome}", about=decision_id, model=model, title=title, text=text)


def rollout_notification(rollout: Rollout) -> Notification:
    """The notification of a rollout, of the kind `rollout.baking` (it serves and is being watched), `rollout.live`,
    `rollout.rolled-back` or `rollout.failed`.
    """
    title = f"{rollout.model}:{rollout.version} on {rollout.endpoint}: {rollout.state}"
    lines = (rollout.request_reason, rollout.reason, f"anew history {rollout.model}", f"anew explain {rollout.id}")
    text = "\n".join(line for line in lines if line)
    return Notification(kind=f"rollout.{rollout.state}", about=rollout.id, model=rollout.model, title=title, text=text)


def retraining_notification(retraining: Retraining) -> Notification | None:
    """The notification of a retraining that has just reached its state, of the kind `approval.requested`,
    `retraining.registered`, `retraining.rejected` or `retraining.failed`; None for any other state.
    """
    ends = {RetrainingState.REGISTERED, RetrainingState.REJECTED, RetrainingState.FAILED}
    if retraining.state is RetrainingState.AWAITING_APPROVAL:
        return _approval_request(retraining)
    if retraining.state not in ends:
        return None
    version = f" as version {retraining.new_version}" if retraining.state is RetrainingState.REGISTERED else ""
    gate = retraining.gate.sentence if retraining.gate else ""
    said = "\n".join(dict.fromkeys(part for part in (retraining.reason, gate) if part))
    return Notification(
        kind=f"retraining.{retraining.state}",
        about=retraining.id,
        model=retraining.model,
        title=f"{retraining.model}: {retraining.state}{version}",
        text=f"{said}\n\nanew explain {retraining.id}".lstrip("\n"),
    )


def _approval_request(retraining: Retraining) -> Notification:
    gate, until = retraining.gate, retraining.approval_deadline
    said = f"{gate.outcome}: {gate.sentence}" if gate else ""
    when = f"until {until.isoformat(' ', 'minutes')}; no answer is a no" if until else ""
    commands = "\n".join(f"anew {verb} {retraining.id} --reason TEXT" for verb in ("approve", "reject"))
    return Notification(
        kind=APPROVAL_REQUESTED,
        about=retraining.id,
        model=retraining.model,
        title=f"{retraining.model}: approve the new version?",
        text=f"{said}\n{when}\n\n{commands}",
        until=until,
    )
