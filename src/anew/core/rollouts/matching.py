"""Which deploy rules the tags of a model version match."""

import re
from collections.abc import Mapping

from anew.core.policies.deploy import Deploy, TagMatch
from anew.core.policies.policy import Policy


def matching_rules(policy: Policy, tags: Mapping[str, str]) -> tuple[Deploy, ...]:
    """The deploy rules these tags match: the first one, or all when the policy deploys by all."""
    found = tuple(rule for rule in policy.deploy if matches(rule, tags))
    return found if policy.deploy_by == "all" else found[:1]


def matches(rule: Deploy, tags: Mapping[str, str]) -> bool:
    """Whether a version with these tags has every tag of the rule, with a value the rule asks for."""
    return all(name in tags and _is_as_asked(wanted, tags[name]) for name, wanted in rule.match.items())


def _is_as_asked(wanted: str | TagMatch, value: str) -> bool:
    if isinstance(wanted, str):
        return value == wanted
    if wanted.in_ is not None:
        return value in wanted.in_
    if wanted.prefix is not None:
        return value.startswith(wanted.prefix)
    return re.fullmatch(wanted.regex or "", value) is not None
