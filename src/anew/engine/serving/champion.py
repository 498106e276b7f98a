"""Which version of a model serves."""

from anew.core.policies.deploy import Deploy
from anew.core.policies.policy import Policy
from anew.core.rollouts.matching import matching_rules
from anew.engine.base.context import Engine
from anew.engine.base.ports import EndpointView


def champion_version(engine: Engine, policy: Policy) -> str | None:
    """The version that serves most of the traffic where this policy's new versions would go; None when none does."""
    for rule in matching_rules(policy, policy.register_.tags) or policy.deploy:
        served = served_version(view_of(engine, rule), policy.model)
        if served is not None:
            return served
    return None


def view_of(engine: Engine, rule: Deploy) -> EndpointView | None:
    """The endpoint of a deploy rule as Azure shows it just now; None when it does not exist."""
    return engine.endpoints[rule.kind].view(rule.endpoint)


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
