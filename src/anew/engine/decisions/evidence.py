"""Gathering what a decision rests on: what events said, what the policy's sources measured, what the ledger knows."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from anew.core.decisions.decide import monitors_of, signals_of
from anew.core.decisions.decision import Outcome
from anew.core.events.event import Cause, Event
from anew.core.evidence.comparison import finite_or_none
from anew.core.evidence.history import Attempt, AttemptState, History
from anew.core.evidence.signals import Evidence, Missing, Signal
from anew.core.policies.policy import Policy
from anew.core.retrainings.lifecycle import Retraining, RetrainingState, StopCause
from anew.engine.base.ledger import Ledger
from anew.engine.base.ports import EvidenceReader
from anew.engine.serving.versions import newest_release
from anew.errors import AzureRefused, InvalidTable

Sources = Mapping[str, EvidenceReader]

_MEASURED = "drift"
_REMEMBERED = 100  # decisions
_ATTEMPTS = {
    RetrainingState.REGISTERED: AttemptState.REGISTERED,
    RetrainingState.REJECTED: AttemptState.REJECTED,
    RetrainingState.FAILED: AttemptState.FAILED,
    RetrainingState.CANCELED: AttemptState.FAILED,
}


def gather_evidence(ledger: Ledger, sources: Sources, policy: Policy, history: History, now: datetime) -> Evidence:
    """What is known besides events: monitors that failed lately, earlier decisions, and the policy's sources. What
    Azure refuses, and data nobody can read, is missing. Raises TemporaryError.
    """
    signals = [signal for event in _failed_monitors(ledger, policy, now) for signal in signals_of(event)]
    signals.extend(_remembered(ledger, policy, now))
    missing: list[Missing] = []
    for source in policy.evidence.sources:
        try:
            signals.extend(sources[source.kind].read(source, policy, history, now))
        except (AzureRefused, InvalidTable) as error:
            missing.append(Missing(source.kind, str(error)))
    return Evidence(tuple(signals), tuple(missing))


def with_events(evidence: Evidence, events: Sequence[Event]) -> Evidence:
    """The evidence and what these events say."""
    said = tuple(signal for event in events for signal in signals_of(event))
    return Evidence(said + evidence.signals, evidence.missing)


def history_of(ledger: Ledger, policy: Policy) -> History:
    """The model's retrainings, newest first, how many of other models are under way, and its newest release if the
    policy may go back from it. A policy in shadow mode has the retrainings it would have had.
    """
    own = ledger.open_retraining_of(policy.model)
    elsewhere = ledger.count_open_retrainings() - (own is not None)
    release = None if policy.limits.prefer_rollback is None else newest_release(ledger, policy.model)
    if policy.mode == "shadow":
        return History(_shadow_attempts(ledger, policy), elsewhere, release)
    known = ledger.retrainings(model=policy.model)
    return History(tuple(_attempt(item) for item in reversed(known)), elsewhere, release)


def evidence_json(evidence: Evidence) -> dict[str, Any]:
    """The evidence as JSON data, for the record of a decision."""
    return {
        "signals": [_as_json(signal) for signal in evidence.signals],
        "missing": [asdict(item) for item in evidence.missing],
    }


def _as_json(signal: Signal) -> dict[str, Any]:
    values = {**signal._asdict(), "at": signal.at.isoformat()}
    return {name: finite_or_none(value) if isinstance(value, float) else value for name, value in values.items()}


def _remembered(ledger: Ledger, policy: Policy, now: datetime) -> list[Signal]:
    """What anew measured itself for earlier decisions: of these readings nobody else keeps a history."""
    if not any(source.kind == _MEASURED for source in policy.evidence.sources):
        return []
    oldest = now - policy.evidence.max_age
    return [
        signal
        for record in reversed(ledger.decisions(policy.model, limit=_REMEMBERED))
        if record.decided_at >= oldest
        for signal in _signals(record.evidence)
        if signal.source == _MEASURED and signal.at < now
    ]


def _signals(stored: Mapping[str, Any]) -> list[Signal]:
    return [_signal(item) for item in stored["signals"]]


def _signal(item: Mapping[str, Any]) -> Signal:
    values: dict[str, Any] = {**item, "at": datetime.fromisoformat(item["at"])}
    return Signal(**values)


def _failed_monitors(ledger: Ledger, policy: Policy, now: datetime) -> list[Event]:
    watched = {name.casefold() for name in policy.monitors}
    failed = ledger.recent([Cause.MONITOR_FAILED], now - policy.evidence.max_age)
    return [entry.event for entry in failed if watched & {name.casefold() for name in monitors_of(entry.event)}]


def _attempt(item: Retraining) -> Attempt:
    state = _ATTEMPTS.get(item.state, AttemptState.OPEN)
    if item.state is RetrainingState.CANCELED and item.stopped_for is StopCause.SUPERSEDED:
        state = AttemptState.SUPERSEDED
    return Attempt(item.id, item.created_at, state, item.charge)


def _shadow_attempts(ledger: Ledger, policy: Policy) -> tuple[Attempt, ...]:
    charge = policy.limits.budget.per_retraining if policy.limits.budget else None
    return tuple(
        Attempt(record.id, record.decided_at, AttemptState.REGISTERED, charge)
        for record in ledger.decisions(policy.model, limit=1000)
        if record.shadow and record.outcome == Outcome.RETRAIN
    )
