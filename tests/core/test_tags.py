"""Tags: exact matching, deployment names Azure takes, lineage, versions."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anew.core.gate import EvaluationResult, judge_gate
from anew.core.policy import LINEAGE_PREFIX
from anew.core.tags import (
    RETRAINING_TAG,
    deployment_name,
    is_newer,
    matching_rule,
    model_of_reference,
    next_version,
    registration_tags,
)

from .policy_samples import sample

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
    assert matching_rule(POLICY, tags) == expected


def test_the_first_matching_rule_wins() -> None:
    both = POLICY.model_copy(update={"deploy": (POLICY.deploy[1], POLICY.deploy[1])})
    assert matching_rule(both, {"stage": "staging"}) == 0


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
    tags = registration_tags(policy, retraining_id="r", decision_id="d", training_run="job")
    assert tags == {"stage": "staging", RETRAINING_TAG: "r", "anew_decision_id": "d", "anew_training_run": "job"}


def test_lineage_carries_the_gates_figures_as_text() -> None:
    gate = judge_gate(POLICY.gate, EvaluationResult(1000, "abc", 800, 790, 20, 30))
    tags = registration_tags(POLICY, retraining_id="r", decision_id="d", training_run="j", gate=gate, data_hash="x")
    assert (tags["anew_accuracy"], tags["anew_champion_accuracy"]) == ("0.800000", "0.790000")
    assert (tags["anew_evaluation_rows"], tags["anew_evaluation_data"]) == ("1000", "abc")
    assert all(name.startswith(LINEAGE_PREFIX) and value for name, value in tags.items())


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
