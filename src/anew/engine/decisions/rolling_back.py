"""Going back from a release because a decision says so.

The decision is recorded first, with the version it leaves, and then acted upon. Were it the other way round, a process
that died in between would find its events still waiting, the rollback perhaps over by then, and train on top of it. As
it is, what was recorded and not done is found by the next tick; and doing it again changes nothing, because a rollout
moves by compare-and-set, and the rollback it opens has the same id each time.
"""

import logging
from collections.abc import Iterator
from datetime import datetime

from anew.core.decisions.decision import Outcome
from anew.engine.base.context import Engine
from anew.engine.base.ledger import DecisionRecord
from anew.engine.rollouts.rollback import roll_back
from anew.engine.serving.versions import ServingRelease, serving_releases
from anew.errors import AnewError

_LOOKED_AT = 20  # decisions

logger = logging.getLogger(__name__)


def finish_rollbacks(engine: Engine, now: datetime) -> None:
    """Do what was decided, while the policy still calls it soon, and did not come about."""
    for policy in engine.policies.all:
        soon = policy.limits.prefer_rollback
        if soon is None:
            continue
        for record in engine.ledger.decisions(policy.model, limit=_LOOKED_AT):
            if record.decided_at >= now - soon:
                roll_back_as_decided(engine, record, now)


def roll_back_as_decided(engine: Engine, record: DecisionRecord, now: datetime) -> None:
    """Send back the version that this decision leaves, wherever its release has all traffic; once, however often this
    is called. What cannot be done is logged: it must not hold up other models.
    """
    if record.outcome != Outcome.ROLL_BACK or record.shadow:
        return
    try:
        for release in list(_to_leave(engine, record)):
            _leave(engine, record, release, now)
    except AnewError as error:
        logger.warning("decision %s was not carried out: %s", record.id, error)


def _to_leave(engine: Engine, record: DecisionRecord) -> Iterator[ServingRelease]:
    for release in serving_releases(engine.ledger, record.model):
        if release.rollout.version == record.leaves_version and not (release.is_rolling_back or release.rollbacks):
            yield release


def _leave(engine: Engine, record: DecisionRecord, release: ServingRelease, now: datetime) -> None:
    why = f"{record.id}: {record.tree.get('sentence', record.outcome)}"
    known = engine.ledger.rollouts(model=record.model, limit=10_000)
    here = [each for each in known if each.place == release.rollout.place]
    roll_back(engine, here, release.rollout, why, now)
