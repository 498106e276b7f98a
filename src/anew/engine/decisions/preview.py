"""Preview a decision: nothing is recorded and nothing is started."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from anew.core.decisions.decide import CompiledPolicy, decide, monitors_of
from anew.core.decisions.decision import Decision
from anew.core.events.event import Event
from anew.core.evidence.signals import Evidence
from anew.core.policies.policy import Policy
from anew.engine.base.ledger import Ledger
from anew.engine.decisions.case import with_events
from anew.engine.decisions.gather import Readers, gather_evidence
from anew.engine.decisions.history import history_of


@dataclass(frozen=True, slots=True)
class Preview:
    """The decision, its evidence, and the reason for each event that does not count."""

    decision: Decision
    evidence: Evidence
    ignored: tuple[str, ...]


def preview(
    ledger: Ledger, readers: Readers, compiled: CompiledPolicy, events: Sequence[Event], now: datetime
) -> Preview:
    """Gather evidence and decide. Reads only. Raises TemporaryError when a source does not answer."""
    policy = compiled.policy
    reasons = [(event, ignored_reason(policy, event)) for event in events]
    heard = [event for event, reason in reasons if reason is None]
    history = history_of(ledger, policy)
    evidence = with_events(gather_evidence(ledger, readers, policy, history, now), heard)
    decision = decide(compiled, evidence, history, now)
    return Preview(decision, evidence, tuple(reason for _, reason in reasons if reason is not None))


def ignored_reason(policy: Policy, event: Event) -> str | None:
    """The reason why this event does not count for the policy's model; None when it counts."""
    kind = event.type.rpartition(".")[2]
    names = monitors_of(event)
    watched = {name.casefold() for name in policy.monitors}
    if not watched & {name.casefold() for name in names}:
        said = f"is about {', '.join(names)}" if names else "names no monitor"
        return f"{kind} {event.id} {said}; the policy of {policy.model} watches {', '.join(policy.monitors)}"
    if event.drift is None:
        return f"{kind} {event.id} says nothing about drift ({event.cause or 'unknown type'})"
    return None
