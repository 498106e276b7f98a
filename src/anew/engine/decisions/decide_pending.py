"""One pass from the drift in the inbox to training runs, or back to the previous version."""

from dataclasses import dataclass
from datetime import datetime

from anew.engine.base.context import Engine
from anew.engine.decisions.act import Decided, act
from anew.engine.decisions.case import judge
from anew.engine.decisions.confirm import confirm
from anew.engine.decisions.gather import gather
from anew.engine.decisions.lease import lease_pending
from anew.engine.decisions.record import record
from anew.engine.decisions.rolling_back import finish_rollbacks


@dataclass(frozen=True, slots=True)
class DecisionPass:
    """The result of one pass. `deferred` names the models that could not be decided now, each with its reason, and
    `waiting` the models that wait for more events, for Azure to confirm one, or for a retraining to end. Their entries
    stay in the inbox.
    """

    decided: tuple[Decided, ...] = ()
    unwatched: tuple[str, ...] = ()
    deferred: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()


def decide_pending(engine: Engine, now: datetime) -> DecisionPass:
    """Decide about everything in the inbox that may mean drift. A storm about one model is one decision.

    A rollback that was decided and not begun comes first, so that no training starts on top of it. Raises
    LedgerUnavailable.
    """
    finish_rollbacks(engine, now)
    leased = lease_pending(engine, now)
    gathered = gather(engine, leased.pending, now)
    judged = [judge(engine.policies.compiled(case.policy.model), case, now) for case in gathered.items]
    confirmed = confirm(engine, judged, now)
    recorded = record(engine, confirmed.items, leased.models, now)
    decided = engine.map_concurrently(lambda each: act(engine, each, now), recorded.items)
    stages = (gathered, confirmed, recorded)
    return DecisionPass(
        decided=tuple(decided),
        unwatched=leased.unwatched,
        deferred=tuple(f"{model}: {reason}" for stage in stages for model, reason in stage.failed.items()),
        waiting=tuple(model for stage in stages for model in stage.waiting),
    )
