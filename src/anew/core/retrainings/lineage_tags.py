"""The tags of a version that anew registers. Those that start with `anew_` say where it came from."""

from anew.core.gate import GateResult
from anew.core.policies.policy import LINEAGE_PREFIX, Policy
from anew.core.retrainings.lifecycle import ApprovalDecision, Retraining

EVALUATION_TAG = f"{LINEAGE_PREFIX}evaluation"
RETRAINING_TAG = f"{LINEAGE_PREFIX}retraining_id"
PARENT_TAG = f"{LINEAGE_PREFIX}parent_version"
STAGE_TAG = f"{LINEAGE_PREFIX}stage"
CANDIDATE = "candidate"
_LONGEST_VALUE = 250  # characters. Azure documents no limit for tags of models, and a person's reason may be long


def registration_tags(policy: Policy, retraining: Retraining) -> dict[str, str]:
    """The policy's own tags and the lineage of a new version. Unknown lineage has no tag; long texts are cut."""
    measured = retraining.gate is not None and retraining.gate.rows > 0
    lineage = {
        STAGE_TAG: CANDIDATE,
        RETRAINING_TAG: retraining.id,
        f"{LINEAGE_PREFIX}decision_id": retraining.decision_id,
        f"{LINEAGE_PREFIX}training_run": retraining.job_name,
        f"{LINEAGE_PREFIX}external_run": retraining.external_run_id,
        f"{LINEAGE_PREFIX}training_data": retraining.training_data,
        f"{LINEAGE_PREFIX}git_commit": retraining.git_commit,
        f"{LINEAGE_PREFIX}evaluation_run": _evaluation_run(policy, retraining) if measured else None,
        PARENT_TAG: retraining.champion_version,
        **(_measured(retraining.gate) if retraining.gate else {}),
        **_approved(retraining),
    }
    lines = {name: " ".join((value or "").split()) for name, value in lineage.items()}
    kept = {name: line[:_LONGEST_VALUE].rstrip() for name, line in lines.items() if line}
    return {**policy.register_.tags, **kept}


def _evaluation_run(policy: Policy, retraining: Retraining) -> str:
    return retraining.job_name if policy.evaluate.by == "training" else retraining.evaluation_job


def _measured(gate: GateResult) -> dict[str, str]:
    return {
        f"{LINEAGE_PREFIX}gate": str(gate.outcome),
        f"{LINEAGE_PREFIX}metric": gate.metric if gate.challenger is not None else "",
        f"{LINEAGE_PREFIX}metric_value": _figure(gate.challenger),
        f"{LINEAGE_PREFIX}champion_metric_value": _figure(gate.champion),
        f"{LINEAGE_PREFIX}evaluation_rows": str(gate.rows or ""),
        f"{LINEAGE_PREFIX}evaluation_data": gate.data_hash,
    }


def _approved(retraining: Retraining) -> dict[str, str | None]:
    """Who forced the candidate past its gate, or approved it, and why."""
    by, why = retraining.approval_by, retraining.approval_reason
    match retraining.approval:
        case ApprovalDecision.FORCED:
            return {f"{LINEAGE_PREFIX}forced_by": by, f"{LINEAGE_PREFIX}forced_reason": why}
        case ApprovalDecision.APPROVED:
            return {f"{LINEAGE_PREFIX}approved_by": by, f"{LINEAGE_PREFIX}approved_reason": why}
        case _:
            return {}


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
