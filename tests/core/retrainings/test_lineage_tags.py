"""The lineage tags of a version that anew registers."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from anew.core.gate import GateOutcome, GateResult
from anew.core.policies.policy import LINEAGE_PREFIX
from anew.core.retrainings.lifecycle import ApprovalDecision
from anew.core.retrainings.lineage_tags import RETRAINING_TAG, registration_tags
from tests.contract.rows import retraining
from tests.core.policies.samples import sample

POLICY = sample()


def test_lineage_joins_policy_tags() -> None:
    """Lineage is added to the tags of the policy; unknown facts have no tag."""
    policy = POLICY.model_copy(update={"register_": POLICY.register_.model_copy(update={"tags": {"stage": "staging"}})})
    assert registration_tags(policy, retraining()) == {
        "stage": "staging",
        "anew_stage": "candidate",
        RETRAINING_TAG: "r-1",
        "anew_decision_id": "d-1",
        "anew_training_run": "job-1",
    }


def test_lineage_has_figures_as_text() -> None:
    """The figures of the gate are tags, written as text."""
    gate = GateResult(GateOutcome.PROMOTE, "why", 1000, "abc", challenger=0.8, champion=0.79, metric="accuracy")
    known = replace(
        retraining(), gate=gate, champion_version="3", training_data="x", git_commit="c0ffee", external_run_id="run-1"
    )
    tags = registration_tags(POLICY, known)
    assert (tags["anew_metric"], tags["anew_metric_value"]) == ("accuracy", "0.8")
    assert tags["anew_champion_metric_value"] == "0.79"
    assert (tags["anew_evaluation_rows"], tags["anew_evaluation_data"]) == ("1000", "abc")
    assert (tags["anew_evaluation_run"], tags["anew_parent_version"]) == ("evaluation-1", "3")
    assert (tags["anew_training_data"], tags["anew_git_commit"], tags["anew_external_run"]) == ("x", "c0ffee", "run-1")
    assert all(name.startswith(LINEAGE_PREFIX) and value for name, value in tags.items())


@given(st.text(max_size=2000), st.text(max_size=300))
def test_reasons_become_short_lines(reason: str, name: str) -> None:
    """Any text of a person becomes a tag of one line with at most 250 characters."""
    said = replace(retraining(), approval=ApprovalDecision.FORCED, approval_by=name, approval_reason=reason)
    for value in registration_tags(POLICY, said).values():
        assert 0 < len(value) <= 250
        assert value == " ".join(value.split())
