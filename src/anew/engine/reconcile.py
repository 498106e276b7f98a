"""One tick: find what events did not bring, and advance everything that is open."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from anew.core.events.event import Event
from anew.core.retrainings.lifecycle import Retraining
from anew.engine.base.context import Engine
from anew.engine.base.ledger import Source
from anew.engine.decisions.decide_pending import DecisionPass, retrain
from anew.engine.inbox.redrive import adoptable_runs, compare, keep, watched_drift
from anew.engine.retrainings.finished_runs import FinishedRunsPass, promote
from anew.engine.retrainings.polling import poll_open
from anew.engine.rollouts.deploy import DeployPass, deploy, follow_tags
from anew.engine.serving.external_changes import record_external_changes
from anew.errors import PermanentError, TemporaryError


@dataclass(frozen=True, slots=True)
class ReconcilePass:
    """What a tick found and did; `problems` are parts that could not be done this time."""

    found: int
    retrained: DecisionPass
    promoted: FinishedRunsPass
    deployed: DeployPass
    advanced: tuple[Retraining, ...] = ()
    problems: tuple[str, ...] = field(default=())


def reconcile(engine: Engine, now: datetime) -> ReconcilePass:
    """One pass over everything. A part that fails is reported and does not keep the others from running."""
    problems: list[str] = []
    found = _guarded(lambda: _find(engine, "drift", watched_drift, now), 0, "drift", problems)
    found += _guarded(lambda: _find(engine, "runs", adoptable_runs, now), 0, "completed runs", problems)
    advanced = poll_open(engine, now)
    problems.extend(advanced.problems)
    retrained = _guarded(lambda: retrain(engine, now), DecisionPass(), "retrain", problems)
    promoted = _guarded(lambda: promote(engine, now), FinishedRunsPass(), "promote", problems)
    for policy in engine.policies.all:
        found += _guarded(partial(follow_tags, engine, policy, now), 0, f"models of {policy.model}", problems)
    problems.extend(_guarded(lambda: record_external_changes(engine, now), (), "traffic", problems))
    deployed = _guarded(lambda: deploy(engine, now), DeployPass(), "deploy", problems)
    problems.extend((*retrained.deferred, *promoted.deferred, *deployed.deferred))
    return ReconcilePass(found, retrained, promoted, deployed, advanced.retrainings, tuple(problems))


def _guarded(step: Callable[[], Any], otherwise: Any, name: str, problems: list[str]) -> Any:
    try:
        return step()
    except (TemporaryError, PermanentError) as error:
        problems.append(f"{name}: {error}")
        return otherwise


def _find(engine: Engine, part: str, known: Callable[[Engine, datetime, datetime], list[Event]], now: datetime) -> int:
    """Put what Azure knows and no event told us of into the inbox; returns how many were new.

    The watermark trails by the look-back, because logs arrive late (minutes) and out of order.
    """
    watermark = f"reconcile.{part}"
    since = min(engine.ledger.watermark(watermark) or now, now) - engine.timing.lookback
    found = compare(engine.ledger, known(engine, since, now), now)
    keep(engine.ledger, found, now, Source.RECONCILE)
    engine.ledger.set_watermark(watermark, now)
    return len(found.new)
