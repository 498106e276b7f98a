"""Tags: exact matching, deployment names Azure takes, lineage, versions."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anew.core.base.versions import is_newer, next_version
from anew.core.gate import GateOutcome, GateResult
from anew.core.policies.policy import LINEAGE_PREFIX
from anew.core.retrainings.lifecycle import ApprovalDecision
from anew.core.retrainings.lineage_tags import RETRAINING_TAG, registration_tags
from anew.core.rollouts.matching import matching_rules
from anew.core.rollouts.naming import deployment_name, model_of_reference
from tests.contract.rows import retraining
from tests.core.policies.samples import sample

POLICY = sample()
_AZURE_NAME = re.compile(r"[a-z][a-z0-9-]{1,30}[a-z0-9]")
_IDS = st.tuples(st.text(min_size=1, max_size=60), st.text(min_size=1, max_size=20)) | st.tuples(
    st.text("ab-1", min_size=1, max_size=6), st.text("01-b", min_size=1, max_size=3)
)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"stage": "production", "task": "price"}, 0),
        ({"stage": "production", "task": "price", "more": "x"}, 0),
        ({"stage": "staging", "task": "price"}, 1),
        ({"stage": "production"}, None),
        ({"stage": "non-production", "task": "price"}, None),
        ({"stage": "Production", "task": "price"}, None),
        ({"stage": "production ", "task": "price"}, None),
        ({}, None),
    ],
)
def test_a_rule_matches_only_when_all_its_tags_are_exactly_equal(tags: dict[str, str], expected: int | None) -> None:
    assert matching_rules(POLICY, tags) == (() if expected is None else (POLICY.deploy[expected],))


@pytest.mark.parametrize(("by", "rules"), [("first", 1), ("all", 2)])
def test_the_first_matching_rule_wins_or_all_do(by: str, rules: int) -> None:
    both = POLICY.model_copy(update={"deploy": (POLICY.deploy[1], POLICY.deploy[1]), "deploy_by": by})
    assert matching_rules(both, {"stage": "staging"}) == (POLICY.deploy[1],) * rules


def test_a_short_plain_name_is_kept_readable() -> None:
    assert deployment_name("elec2", "12") == "elec2-12"


@given(_IDS)
def test_a_deployment_name_is_always_one_azure_takes_and_always_the_same(identity: tuple[str, str]) -> None:
    name = deployment_name(*identity)
    assert _AZURE_NAME.fullmatch(name)
    assert name == deployment_name(*identity)


@given(_IDS, _IDS)
def test_different_versions_never_share_a_deployment_name(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert (deployment_name(*one) == deployment_name(*other)) == (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a" * 40, "1"), ("a" * 40, "2")),
        (("a" * 40 + "b", "1"), ("a" * 40 + "c", "1")),
        (("Elec2", "1"), ("elec2", "1")),
        (("a_b", "1"), ("a-b", "1")),
        (("a", "1-2"), ("a-1", "2")),
        (("m-1", "1"), ("1", "1")),
    ],
)
def test_names_that_look_alike_when_cut_stay_apart(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert deployment_name(*one).casefold() != deployment_name(*other).casefold()


def test_lineage_joins_the_policys_tags_and_what_is_unknown_has_no_tag() -> None:
    policy = POLICY.model_copy(update={"register_": POLICY.register_.model_copy(update={"tags": {"stage": "staging"}})})
    assert registration_tags(policy, retraining()) == {
        "stage": "staging",
        "anew_stage": "candidate",
        RETRAINING_TAG: "r-1",
        "anew_decision_id": "d-1",
        "anew_training_run": "job-1",
    }


def test_lineage_carries_the_gates_figures_as_text() -> None:
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
def test_what_people_said_makes_short_tags_of_one_line(reason: str, name: str) -> None:
    said = replace(retraining(), approval=ApprovalDecision.FORCED, approval_by=name, approval_reason=reason)
    for value in registration_tags(POLICY, said).values():
        assert 0 < len(value) <= 250
        assert value == " ".join(value.split())


def test_versions_compare_as_numbers() -> None:
    assert is_newer("10", "9")
    assert not is_newer("9", "9")
    assert is_newer("1", "beta")


def test_the_next_version_follows_the_highest_number() -> None:
    assert next_version(["2", "10", "beta"]) == "11"
    assert next_version([]) == "1"


@given(st.lists(st.integers(0, 10**6).map(str) | st.text(max_size=4)))
def test_the_next_version_is_newer_than_all(versions: list[str]) -> None:
    assert all(is_newer(next_version(versions), version) for version in versions)


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("azureml:elec2:3", "elec2:3"),
        ("/subscriptions/s/resourceGroups/g/providers/X/workspaces/w/models/elec2/versions/3", "elec2:3"),
        ("azureml:/subscriptions/s/resourceGroups/g/providers/X/workspaces/w/models/elec2/versions/3", "elec2:3"),
        ("azureml://registries/r/models/elec2/versions/3", "elec2:3"),
        ("azureml://jobs/j/outputs/model", None),
        ("./model", None),
        ("", None),
    ],
)
def test_a_model_is_recognised_in_each_way_azure_refers_to_it(reference: str, expected: str | None) -> None:
    assert model_of_reference(reference) == expected
