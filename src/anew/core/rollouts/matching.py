"""Matching the tags of a model version with the deploy rules of its policy. Pure."""

import re
from collections.abc import Mapping

from anew.core.policies.deploy import Deploy, TagMatch
from anew.core.policies.policy import Policy


def matching_rules(policy: Policy, tags: Mapping[str, str]) -> tuple[Deploy, ...]:
    """The deploy rules that these tags match: the first, or all with `deploy_by: all`."""
    found = tuple(rule for rule in policy.deploy if matches(rule, tags))
    return found if policy.deploy_by == "all" else found[:1]


def matches(rule: Deploy, tags: Mapping[str, str]) -> bool:
    """Whether the tags include every tag of the rule with a value that the rule allows."""
    return all(name in tags and _is_allowed(allowed, tags[name]) for name, allowed in rule.match.items())


def _is_allowed(allowed: str | TagMatch, value: str) -> bool:
    if isinstance(allowed, str):
        return value == allowed
    if allowed.in_ is not None:
        return value in allowed.in_
    if allowed.prefix is not None:
        return value.startswith(allowed.prefix)
    return re.fullmatch(allowed.regex or "", value) is not None
