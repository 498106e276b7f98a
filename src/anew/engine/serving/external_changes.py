"""Recording changes of traffic that were made outside anew."""

from datetime import datetime

from anew.core.policies.deploy import Deploy
from anew.core.rollouts.lifecycle import OPEN_ROLLOUT
from anew.core.rollouts.stages import shares_of
from anew.core.rollouts.traffic import TrafficChange
from anew.engine.base.context import Engine
from anew.engine.serving.endpoint_lease import endpoint_lease
from anew.engine.serving.versions import view_of
from anew.errors import AnewError

OUTSIDE_ANEW = "somebody else"
"""The actor of these changes, as the ledger stores it."""


def record_external_changes(engine: Engine, now: datetime) -> tuple[str, ...]:
    """Record the traffic of every endpoint that a policy deploys to, where it differs from the last recorded.

    Returns why some endpoints could not be read. Skips endpoints with an open rollout, which checks the traffic itself.
    """
    open_places = {rollout.place for rollout in engine.ledger.rollouts(OPEN_ROLLOUT)}
    rules = {f"{rule.kind}/{rule.endpoint}": rule for policy in engine.policies.all for rule in policy.deploy}
    problems: list[str] = []
    for place, rule in rules.items():
        if place in open_places:
            continue
        try:
            with endpoint_lease(engine, place, now) as leased:
                if leased is not None:
                    _record(leased, rule, place, now)
        except AnewError as error:
            problems.append(f"traffic of {place}: {error}")
    return tuple(problems)


def _record(engine: Engine, rule: Deploy, place: str, now: datetime) -> None:
    view = view_of(engine, rule)
    if view is None:
        return
    known = engine.ledger.traffic(place, limit=1)
    change = TrafficChange(
        at=now,
        endpoint=place,
        shares=shares_of(view.traffic, view.models),
        mirror=shares_of(view.mirror, view.models),
        actor=OUTSIDE_ANEW,
        reason="moved outside anew; seen by reconcile" if known else "first seen by reconcile",
    )
    engine.ledger.note_traffic(change)
