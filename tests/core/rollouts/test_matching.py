"""Deploy rules are matched by exact tags, the first or all of them."""

import pytest

from anew.core.rollouts.matching import matching_rules
from tests.core.policies.samples import sample

POLICY = sample()


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
def test_rule_matches_exact_tags(tags: dict[str, str], expected: int | None) -> None:
    """A rule matches only when every one of its tags has exactly its value."""
    assert matching_rules(POLICY, tags) == (() if expected is None else (POLICY.deploy[expected],))


@pytest.mark.parametrize(("by", "rules"), [("first", 1), ("all", 2)])
def test_first_or_all_rules_match(by: str, rules: int) -> None:
    """The first rule that matches counts, or every one with `deploy_by: all`."""
    both = POLICY.model_copy(update={"deploy": (POLICY.deploy[1], POLICY.deploy[1]), "deploy_by": by})
    assert matching_rules(both, {"stage": "staging"}) == (POLICY.deploy[1],) * rules
