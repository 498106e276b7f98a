"""Which version of a model serves."""

from anew.core.policy import Policy
from anew.core.tags import matching_rule
from anew.engine.context import Engine
from anew.engine.ports import EndpointView


def champion_version(engine: Engine, policy: Policy) -> str | None:
    """The version that serves most of the traffic where this policy's new versions would go; None when none does."""
    index = matching_rule(policy, policy.register_.tags)
    rules = policy.deploy if index is None else (policy.deploy[index],)
    for rule in rules:
        served = served_version(engine.endpoints.view(rule.endpoint), policy.model)
        if served is not None:
            return served
    return None


def served_version(view: EndpointView | None, model: str) -> str | None:
    """The version of the model with the largest share of an endpoint's traffic."""
    if view is None:
        return None
    shares = [(share, view.models.get(name) or "") for name, share in view.traffic.items() if share > 0]
    for _, served in sorted(shares, reverse=True):
        name, _, version = served.partition(":")
        if name.casefold() == model.casefold() and version:
            return version
    return None
