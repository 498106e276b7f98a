"""Deciding, and believing events only as far as Azure bears them out before anything is done: an event can be forged,
or stale.

What events claim is decided about first, for that costs nothing. Only a decision that would start a training, or bring
a version back, has its events looked up in Azure, the newest first, until those found there carry it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from anew.core.decisions.decide import decide, monitors_of
from anew.core.decisions.decision import Decision, Outcome
from anew.core.events.event import Cause, Event
from anew.core.evidence.history import Force, History
from anew.core.evidence.signals import Evidence, Missing
from anew.core.policies.policy import Policy
from anew.engine.base.context import Engine
from anew.engine.base.ledger import InboxEntry, Source
from anew.engine.decisions.evidence import history_of, with_events
from anew.errors import AnewError

_GROWTH = 4  # 1, 4, 16, ... events are looked up in a round: the newest usually decides


@dataclass(frozen=True, slots=True)
class Case:
    """What one decision is about: entries, oldest first, and what else is known.

    `told` has, by key, what Azure itself tells of the entries that were looked up, None where it knows nothing.
    """

    policy: Policy
    entries: Sequence[InboxEntry]
    measured: Evidence
    history: History
    force: Force | None = None
    told: Mapping[str, Event | None] = field(default_factory=dict[str, Event | None])

    @property
    def doubted(self) -> list[InboxEntry]:
        """Claims not looked up yet, newest first. What reconcile found, it found in Azure."""
        return [entry for entry in reversed(self.entries) if _is_claim(entry) and entry.key not in self.told]

    @property
    def unconfirmed(self) -> list[InboxEntry]:
        """Entries that were looked up, and that Azure knows nothing of."""
        return [entry for entry in self.entries if entry.key in self.told and self.told[entry.key] is None]


@dataclass(frozen=True, slots=True)
class Judged:
    """A case with its decision, and the evidence that this rests on."""

    case: Case
    decision: Decision
    evidence: Evidence

    @property
    def starts(self) -> bool:
        """Whether it starts a training."""
        return self.decision.outcome is Outcome.RETRAIN and not self.decision.shadow

    @property
    def rolls_back(self) -> bool:
        """Whether it brings the version before back."""
        return self.decision.outcome is Outcome.ROLL_BACK and not self.decision.shadow

    @property
    def acts(self) -> bool:
        """Whether it changes anything in Azure, which no forged event may bring about."""
        return self.starts or self.rolls_back


@dataclass(frozen=True, slots=True)
class Judgement:
    """Cases by what becomes of them: decided, waiting for Azure to bear out what was claimed, or put off."""

    decided: tuple[Judged, ...]
    waiting: tuple[Case, ...]
    deferred: Mapping[str, str]  # why, by model


def judge(engine: Engine, cases: Iterable[Case], now: datetime) -> Judgement:
    """Decide every case. One that would change anything rests on what Azure bears out alone."""
    decided = {case.policy.model: _decide(engine, case, [entry.event for entry in case.entries], now) for case in cases}
    open_ = {model: judged for model, judged in decided.items() if judged.acts and judged.case.doubted}
    deferred: dict[str, str] = {}
    size = 1
    while open_:
        asked = {model: judged.case.doubted[:size] for model, judged in open_.items()}
        try:
            told = engine.missed.confirm([entry.event for some in asked.values() for entry in some], now)
        except AnewError as error:
            deferred |= dict.fromkeys(open_, str(error))
            break
        for model, some in asked.items():
            case = open_[model].case
            found = {entry.key: _if_watched(case.policy, told.get(entry.key)) for entry in some}
            decided[model] = _decide_on_facts(engine, replace(case, told={**case.told, **found}), now)
        open_ = {model: decided[model] for model in open_ if not decided[model].acts and decided[model].case.doubted}
        size *= _GROWTH
    final = [judged for model, judged in decided.items() if model not in deferred]
    waiting = [judged.case for judged in final if not judged.acts and _may_be_borne_out(engine, judged.case, now)]
    patient = {case.policy.model for case in waiting}
    return Judgement(
        tuple(judged for judged in final if judged.case.policy.model not in patient), tuple(waiting), deferred
    )


def judge_again(engine: Engine, judged: Judged, now: datetime) -> Judged:
    """The same case on the same evidence, after other retrainings were started."""
    compiled, case = engine.policies.compiled(judged.case.policy.model), judged.case
    elsewhere = history_of(engine.ledger, case.policy).open_elsewhere
    history = replace(case.history, open_elsewhere=elsewhere)
    return Judged(case, decide(compiled, judged.evidence, history, now, case.force), judged.evidence)


def _is_claim(entry: InboxEntry) -> bool:
    return entry.cause is Cause.DRIFT and entry.source is not Source.RECONCILE


def _if_watched(policy: Policy, event: Event | None) -> Event | None:
    """The event, if it is about this policy's model indeed, and not only by what was claimed of it."""
    if event is None:
        return None
    names = {name.casefold() for name in monitors_of(event)}
    return event if names & {name.casefold() for name in policy.monitors} else None


def _decide(engine: Engine, case: Case, events: Sequence[Event], now: datetime) -> Judged:
    evidence = with_events(case.measured, events)
    compiled = engine.policies.compiled(case.policy.model)
    return Judged(case, decide(compiled, evidence, case.history, now, case.force), evidence)


def _decide_on_facts(engine: Engine, case: Case, now: datetime) -> Judged:
    """The decision without anything that was only claimed; what Azure knows nothing of is noted as missing."""
    facts = [case.told.get(entry.key) if _is_claim(entry) else entry.event for entry in case.entries]
    doubts = (f"Azure knows nothing of what {entry.event.id} claims" for entry in case.unconfirmed)
    missing = (*case.measured.missing, *(Missing("event", doubt) for doubt in doubts))
    noted = replace(case, measured=Evidence(case.measured.signals, missing))
    judged = _decide(engine, noted, [event for event in facts if event is not None], now)
    return replace(judged, case=case)


def _may_be_borne_out(engine: Engine, case: Case, now: datetime) -> bool:
    # An event can come before what it tells of can be looked up: logs take minutes.
    return any(now < entry.received_at + engine.timing.confirm_within for entry in case.unconfirmed)
