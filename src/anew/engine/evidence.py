"""Gathering what a decision rests on: what events said, what the policy's sources measured, what the ledger knows."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from anew.core.decide import monitors_of, signals_of
from anew.core.decision import Attempt, AttemptState, Evidence, History, Missing, Outcome
from anew.core.events import Cause, Event
from anew.core.lifecycle import OPEN_RETRAINING, Retraining, RetrainingState
from anew.core.policy import Policy
from anew.engine.context import Engine
from anew.errors import AzureRefused, InvalidTable

_ATTEMPTS = {
    RetrainingState.REGISTERED: AttemptState.REGISTERED,
    RetrainingState.REJECTED: AttemptState.REJECTED,
    RetrainingState.FAILED: AttemptState.FAILED,
}


def gather_evidence(engine: Engine, policy: Policy, events: Sequence[Event], now: datetime) -> Evidence:
    """Signals of the events, of monitors that failed lately, and of the policy's sources. What Azure refuses, and data
    nobody can read, is missing. Raises TemporaryError.
    """
    signals = [signal for event in (*events, *_failed_monitors(engine, policy, now)) for signal in signals_of(event)]
    missing: list[Missing] = []
    for source in policy.evidence.sources:
        try:
            signals.extend(engine.sources[source.kind].read(source, policy, now))
        except (AzureRefused, InvalidTable) as error:
            missing.append(Missing(source.kind, str(error)))
    return Evidence(tuple(signals), tuple(missing))


def history_of(engine: Engine, policy: Policy) -> History:
    """The model's retrainings, newest first, and how many of other models are under way. A policy in shadow mode has
    the retrainings it would have had.
    """
    elsewhere = sum(item.model != policy.model for item in engine.ledger.retrainings(OPEN_RETRAINING))
    if policy.mode == "shadow":
        return History(_shadow_attempts(engine, policy), elsewhere)
    known = engine.ledger.retrainings(model=policy.model)
    return History(tuple(_attempt(item) for item in reversed(known)), elsewhere)


def evidence_json(evidence: Evidence) -> dict[str, Any]:
    """The evidence as JSON data, for the record of a decision."""
    return {
        "signals": [{**asdict(signal), "at": signal.at.isoformat()} for signal in evidence.signals],
        "missing": [asdict(item) for item in evidence.missing],
    }


def _failed_monitors(engine: Engine, policy: Policy, now: datetime) -> list[Event]:
    watched = {name.casefold() for name in policy.monitors}
    failed = engine.ledger.recent([Cause.MONITOR_FAILED], now - policy.evidence.max_age)
    return [entry.event for entry in failed if watched & {name.casefold() for name in monitors_of(entry.event)}]


def _attempt(item: Retraining) -> Attempt:
    return Attempt(item.id, item.created_at, _ATTEMPTS.get(item.state, AttemptState.OPEN), item.charge)


def _shadow_attempts(engine: Engine, policy: Policy) -> tuple[Attempt, ...]:
    charge = policy.limits.budget.per_retraining if policy.limits.budget else None
    return tuple(
        Attempt(record.id, record.decided_at, AttemptState.REGISTERED, charge)
        for record in engine.ledger.decisions(policy.model, limit=1000)
        if record.shadow and record.outcome == Outcome.RETRAIN
    )
