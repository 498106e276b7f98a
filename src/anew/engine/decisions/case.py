"""The values that pass through the stages of a decision pass, and how a case is judged.

*Case*: what one decision is about. *Judged*: a case with its decision. Not to be confused with a `Decision`, which is
the outcome and its explanation, or a `DecisionRecord`, which is what the ledger keeps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Generic, TypeVar

from anew.core.decisions.decide import CompiledPolicy, decide, signals_of
from anew.core.decisions.decision import Decision, Outcome
from anew.core.events.event import Cause, Event
from anew.core.evidence.history import Force, History
from anew.core.evidence.signals import Evidence, Missing
from anew.core.policies.policy import Policy
from anew.engine.base.ledger import InboxEntry, Source

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stage(Generic[T]):
    """What a stage passes on, and the models it leaves for a later pass: those that wait for something, and those that
    failed, with the reason.
    """

    items: tuple[T, ...]
    waiting: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Case:
    """What one decision is about: inbox entries, oldest first, and the evidence beside them.

    `verified` maps the keys of the entries that were looked up in Azure to the event as Azure shows it, or to None when
    Azure knows no such event.
    """

    policy: Policy
    entries: Sequence[InboxEntry]
    measured: Evidence
    history: History
    force: Force | None = None
    verified: Mapping[str, Event | None] = field(default_factory=dict[str, Event | None])

    @property
    def unverified(self) -> list[InboxEntry]:
        """Entries that were not looked up yet, newest first. Entries found by reconcile come from Azure itself."""
        return [each for each in reversed(self.entries) if _needs_check(each) and each.key not in self.verified]

    @property
    def unknown_to_azure(self) -> list[InboxEntry]:
        """Entries that were looked up and that Azure does not know."""
        return [each for each in self.entries if each.key in self.verified and self.verified[each.key] is None]


@dataclass(frozen=True, slots=True)
class Judged:
    """A case with its decision and the evidence behind it."""

    case: Case
    decision: Decision
    evidence: Evidence

    @property
    def model(self) -> str:
        """The model that the decision is about."""
        return self.case.policy.model

    @property
    def starts_training(self) -> bool:
        """Whether the decision starts a training."""
        return self.decision.outcome is Outcome.RETRAIN and not self.decision.shadow

    @property
    def rolls_back(self) -> bool:
        """Whether the decision brings the previous version back."""
        return self.decision.outcome is Outcome.ROLL_BACK and not self.decision.shadow

    @property
    def acts(self) -> bool:
        """Whether the decision changes anything in Azure. A forged event must never cause this."""
        return self.starts_training or self.rolls_back


def judge(compiled: CompiledPolicy, case: Case, now: datetime) -> Judged:
    """Decide the case on all that is known, unverified events included."""
    return _judge(compiled, case, [each.event for each in case.entries], case.measured, now)


def judge_verified(compiled: CompiledPolicy, case: Case, now: datetime) -> Judged:
    """Decide the case without unverified events. An event that Azure does not know counts as missing evidence."""
    events = [case.verified.get(each.key) if _needs_check(each) else each.event for each in case.entries]
    doubts = (f"Azure knows nothing of what {each.event.id} claims" for each in case.unknown_to_azure)
    missing = (*case.measured.missing, *(Missing("event", doubt) for doubt in doubts))
    measured = Evidence(case.measured.signals, missing)
    return _judge(compiled, case, [event for event in events if event is not None], measured, now)


def judge_again(compiled: CompiledPolicy, judged: Judged, open_elsewhere: int, now: datetime) -> Judged:
    """Decide on the same evidence, now that so many retrainings of other models are open."""
    history = replace(judged.case.history, open_elsewhere=open_elsewhere)
    return replace(judged, decision=decide(compiled, judged.evidence, history, now, judged.case.force))


def with_events(evidence: Evidence, events: Sequence[Event]) -> Evidence:
    """The evidence together with the signals of these events."""
    return Evidence(
        tuple(signal for event in events for signal in signals_of(event)) + evidence.signals, evidence.missing
    )


def _judge(compiled: CompiledPolicy, case: Case, events: Sequence[Event], measured: Evidence, now: datetime) -> Judged:
    evidence = with_events(measured, events)
    return Judged(case, decide(compiled, evidence, case.history, now, case.force), evidence)


def _needs_check(entry: InboxEntry) -> bool:
    return entry.cause is Cause.DRIFT and entry.source is not Source.RECONCILE
