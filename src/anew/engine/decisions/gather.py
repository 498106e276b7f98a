"""Gather the evidence of each case: what the policy's sources measure, and what the ledger remembers."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from anew.core.decisions.decide import monitors_of, signals_of
from anew.core.events.event import Cause, Event
from anew.core.evidence.history import Force, History
from anew.core.evidence.serialization import load_signals
from anew.core.evidence.signals import Evidence, Missing, Signal
from anew.core.policies.evidence import EvidenceKind, kind_of
from anew.core.policies.policy import Policy
from anew.engine.base.context import Engine
from anew.engine.base.ledger import InboxEntry, Ledger
from anew.engine.base.ports import EvidenceReader
from anew.engine.decisions.case import Case, Stage
from anew.engine.decisions.history import history_of
from anew.engine.decisions.lease import Pending
from anew.errors import AnewError, AzureRefused, InvalidTable

Readers = Mapping[EvidenceKind, EvidenceReader]

_MEASURED_BY_ANEW = "drift"
_REMEMBERED = 100  # decisions


def gather(engine: Engine, pending: Iterable[Pending], now: datetime) -> Stage[Case]:
    """A case for each policy that can decide now. Models wait whose policy coalesces events, or queues new drift until
    the open retraining has ended. A source that does not answer fails its own model only.
    """
    cases: list[Case] = []
    waiting: list[str] = []
    failed: dict[str, str] = {}
    for each in pending:
        model = each.policy.model
        try:
            if _coalesces(each, now) or _is_queued(engine.ledger, each.policy):
                waiting.append(model)
            else:
                cases.append(_case(engine, each, now))
        except AnewError as error:
            failed[model] = str(error)
    return Stage(tuple(cases), tuple(waiting), failed)


def gather_evidence(ledger: Ledger, readers: Readers, policy: Policy, history: History, now: datetime) -> Evidence:
    """The evidence besides events: monitors that failed lately, earlier measurements, and the policy's sources.

    A source that Azure refuses, or data that cannot be read, counts as missing. Raises TemporaryError.
    """
    signals = [signal for event in _failed_monitors(ledger, policy, now) for signal in signals_of(event)]
    signals.extend(_remembered(ledger, policy, now))
    missing: list[Missing] = []
    for spec in policy.evidence.sources:
        try:
            signals.extend(readers[kind_of(spec)].read(spec, policy, history, now))
        except (AzureRefused, InvalidTable) as error:
            missing.append(Missing(spec.kind, str(error)))
    return Evidence(tuple(signals), tuple(missing))


def _case(engine: Engine, pending: Pending, now: datetime) -> Case:
    policy = pending.policy
    history = history_of(engine.ledger, policy)
    measured = gather_evidence(engine.ledger, engine.readers, policy, history, now)
    seen = history.without_open() if policy.limits.in_flight == "supersede" else history
    return Case(policy, pending.entries, measured, seen, _force(pending.entries))


def _coalesces(pending: Pending, now: datetime) -> bool:
    """Whether the policy waits for more events of a storm. A person's request never waits."""
    if any(entry.cause is Cause.MANUAL for entry in pending.entries):
        return False
    return now < min(entry.received_at for entry in pending.entries) + pending.policy.evidence.coalesce


def _is_queued(ledger: Ledger, policy: Policy) -> bool:
    if policy.limits.in_flight != "queue" or policy.mode == "shadow":
        return False
    return ledger.open_retraining_of(policy.model) is not None


def _force(entries: Sequence[InboxEntry]) -> Force | None:
    for entry in entries:
        tags = entry.event.tags or {}
        if entry.cause is Cause.MANUAL and tags.get("force") == "true":
            return Force(tags.get("by", "unknown"), tags.get("reason", ""))
    return None


def _remembered(ledger: Ledger, policy: Policy, now: datetime) -> list[Signal]:
    """The values that anew itself measured for earlier decisions. No other system keeps a history of them."""
    if not any(spec.kind == _MEASURED_BY_ANEW for spec in policy.evidence.sources):
        return []
    oldest = now - policy.evidence.max_age
    return [
        signal
        for record in reversed(ledger.decisions(policy.model, limit=_REMEMBERED))
        if record.decided_at >= oldest
        for signal in load_signals(record.evidence)
        if signal.source == _MEASURED_BY_ANEW and signal.at < now
    ]


def _failed_monitors(ledger: Ledger, policy: Policy, now: datetime) -> list[Event]:
    watched = {name.casefold() for name in policy.monitors}
    failed = ledger.recent([Cause.MONITOR_FAILED], now - policy.evidence.max_age)
    return [entry.event for entry in failed if watched & {name.casefold() for name in monitors_of(entry.event)}]
