"""Seeing who serves what, so that moves that were not ours are known too."""

from collections.abc import Iterator
from datetime import datetime

from anew.core.policies.deploy import Deploy
from anew.core.rollouts.lifecycle import OPEN_ROLLOUT
from anew.core.rollouts.stages import shares_of
from anew.core.rollouts.traffic import TrafficChange
from anew.engine.base.context import Engine
from anew.engine.serving.champion import view_of
from anew.engine.serving.endpoint_lease import holding
from anew.errors import AnewError

SOMEBODY = "somebody else"


def record_external_changes(engine: Engine, now: datetime) -> tuple[str, ...]:
    """Keep the traffic of every endpoint a policy deploys to, where it is not as anew last knew it; returns why some
    could not be seen. An endpoint with an open rollout is left to it.
    """
    open_places = {rollout.place for rollout in engine.ledger.rollouts(OPEN_ROLLOUT)}
    problems: list[str] = []
    for rule in _rules(engine):
        place = f"{rule.kind}/{rule.endpoint}"
        if place in open_places:
            continue
        try:
            with holding(engine, place, now) as held:
                if held is not None:
                    _note(engine, rule, place, now)
        except AnewError as error:
            problems.append(f"traffic of {place}: {error}")
    return tuple(problems)


def _rules(engine: Engine) -> Iterator[Deploy]:
    by_place = {(rule.kind, rule.endpoint): rule for policy in engine.policies.all for rule in policy.deploy}
    return iter(by_place.values())


def _note(engine: Engine, rule: Deploy, place: str, now: datetime) -> None:
    view = view_of(engine, rule)
    if view is None:
        return
    known = engine.ledger.traffic(place, limit=1)
    change = TrafficChange(
        at=now,
        endpoint=place,
        shares=shares_of(view.traffic, view.models),
        mirror=shares_of(view.mirror, view.models),
        actor=SOMEBODY,
        reason="moved outside anew; seen by reconcile" if known else "first seen by reconcile",
    )
    engine.ledger.note_traffic(change)
