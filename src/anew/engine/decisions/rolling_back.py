"""Roll a release back because a decision says so.

The decision is recorded first, with the version that it leaves, and carried out afterwards. In the other order, a
process that died in between would leave its events waiting, and a later pass would train on top of a rollback that may
be over by then. The next pass finds what was recorded and not done. Doing it again changes nothing: a rollout moves by
compare-and-set, and the rollback has the same id each time.
"""

import logging
from datetime import datetime

from anew.core.decisions.decision import Outcome
from anew.engine.base.context import Engine
from anew.engine.base.ledger import DecisionRecord
from anew.engine.rollouts.rollback import roll_back
from anew.engine.serving.versions import serving_releases
from anew.errors import AnewError

_NEWEST = 20  # decisions

logger = logging.getLogger(__name__)


def finish_rollbacks(engine: Engine, now: datetime) -> None:
    """Carry out the rollbacks that were decided and not begun, while `prefer_rollback` of their policy still counts."""
    for policy in engine.policies.all:
        window = policy.limits.prefer_rollback
        if window is None:
            continue
        for record in engine.ledger.decisions(policy.model, limit=_NEWEST):
            if record.decided_at >= now - window:
                roll_back_as_decided(engine, record, now)


def roll_back_as_decided(engine: Engine, record: DecisionRecord, now: datetime) -> None:
    """Roll back the release that this decision names, at every endpoint where it has all traffic; once,
    however often this is called. A failure is logged, because it must not stop other models.
    """
    if record.outcome != Outcome.ROLL_BACK or record.shadow:
        return
    reason = f"{record.id}: {record.tree.get('sentence', record.outcome)}"
    try:
        for release in list(serving_releases(engine.ledger, record.model)):
            if release.rollout.version != record.leaves_version or release.is_rolling_back or release.rollbacks:
                continue
            rollouts = engine.ledger.rollouts(model=record.model, limit=10_000)
            here = [each for each in rollouts if each.place == release.rollout.place]
            roll_back(engine, here, release.rollout, reason, now)
    except AnewError as error:
        logger.warning("decision %s was not carried out: %s", record.id, error)
