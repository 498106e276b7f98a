"""From drift to an external training run, or back to the version before: claim, gather evidence, decide, record, do."""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from anew.core.decisions.decide import monitors_of
from anew.core.decisions.decision import Decision
from anew.core.decisions.explain import to_json
from anew.core.events.event import Cause, Event
from anew.core.events.handling import CAUSES_OF, Flow
from anew.core.evidence.history import Force
from anew.core.evidence.signals import Evidence
from anew.core.policies.policy import LAUNCHER_ADAPTER, Policy
from anew.core.retrainings.lifecycle import RETRAINING_TRANSITIONS, Retraining, RetrainingMove, StopCause
from anew.engine.base.context import Engine
from anew.engine.base.ledger import DecisionRecord, InboxEntry, Receipt, Source
from anew.engine.decisions.confirming import Case, Judged, judge, judge_again
from anew.engine.decisions.evidence import evidence_json, gather_evidence, history_of
from anew.engine.decisions.rolling_back import finish_rollbacks, roll_back_as_decided
from anew.engine.notifications.notification import decision_notification
from anew.engine.notifications.notify import notify, notify_of_retraining
from anew.engine.training.launching import launch
from anew.engine.training.stopping import stop
from anew.errors import AnewError, TemporaryError

MANUAL_TYPE = "anew.RetrainingRequested"
_SUPERSEDED_AT_MOST = 3
_AT_ONCE = 5000  # entries; looking them all up in Azure, as forged ones need, takes minutes


@dataclass(frozen=True, slots=True)
class Decided:
    """One decision of this pass, and the retraining it started, if any."""

    record: DecisionRecord
    decision: Decision
    evidence: Evidence
    retraining: Retraining | None
    not_notified: str | None = None  # why people could not be told of it


@dataclass(frozen=True, slots=True)
class DecisionPass:
    """What one pass did. `deferred` names what could not be decided now and stays in the inbox, `waiting` the models
    whose policy gives other events some time to come.
    """

    decided: tuple[Decided, ...] = ()
    unwatched: tuple[str, ...] = ()
    deferred: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()


def request_retraining(
    engine: Engine, model: str, request_id: str, by: str, reason: str, force: bool, now: datetime
) -> Receipt:
    """Put a person's request into the inbox, once for a request_id. Raises UnknownModel."""
    engine.policies.for_model(model)
    event = Event(
        type=MANUAL_TYPE,
        id=request_id,
        workspace=engine.workspace,
        subject=f"models/{model}",
        time=now,
        model=model,
        tags={"by": by, "reason": reason, "force": str(force).lower()},
        cause=Cause.MANUAL,
    )
    return engine.ledger.receive([event], Source.MANUAL, now)


def retrain(engine: Engine, now: datetime) -> DecisionPass:
    """Decide about everything in the inbox that may mean drift; a storm about one model is one decision.

    Of more than 5,000 entries, those that were never tried come first, so that what must wait holds up nothing else.
    """
    finish_rollbacks(engine, now)
    entries = engine.ledger.lease(CAUSES_OF[Flow.RETRAIN], now, engine.timing.inbox_lease, _AT_ONCE)
    waiting = _waiting_models(engine, entries)
    unwatched = [entry for entry in entries if not waiting[entry.key]]
    for entry in unwatched:
        engine.ledger.settle([entry.key], _nobody_waits(entry), now)
    cases, coalescing, deferred = _cases(engine, entries, waiting, now)
    judgement = judge(engine, cases, now)
    coalescing.extend(case.policy.model for case in judgement.waiting)
    deferred.extend(f"{model}: {reason}" for model, reason in judgement.deferred.items())
    recorded: list[tuple[Judged, DecisionRecord]] = []
    for decided_first in judgement.decided:
        model = decided_first.case.policy.model
        try:
            judged = _counting_those_before(engine, decided_first, now)
            if judged.starts and _must_wait_for_open(engine, judged, now):
                coalescing.append(model)
                continue
            last = [entry.key for entry in judged.case.entries if waiting[entry.key] == [model]]
            recorded.append((judged, _record(engine, judged, last, now)))
        except AnewError as error:  # one model that cannot be decided about must not hold up the others
            deferred.append(f"{model}: {error}")
            continue
        for entry in judged.case.entries:
            waiting[entry.key].remove(model)
    if undecided := [key for key, models in waiting.items() if models]:
        engine.ledger.release(undecided, now)
    decided = engine.map_concurrently(lambda each: _act(engine, *each, now), recorded)
    return DecisionPass(tuple(decided), tuple(entry.key for entry in unwatched), tuple(deferred), tuple(coalescing))


def _counting_those_before(engine: Engine, judged: Judged, now: datetime) -> Judged:
    """The decision again, where those recorded before it in this pass may leave no room for another at once."""
    if judged.starts and judged.case.policy.limits.max_concurrent is not None:
        return judge_again(engine, judged, now)
    return judged


def _cases(
    engine: Engine, entries: Sequence[InboxEntry], waiting: Mapping[str, Sequence[str]], now: datetime
) -> tuple[list[Case], list[str], list[str]]:
    """What there is to decide, models whose events are kept for later, and models that cannot be decided about now."""
    cases: list[Case] = []
    coalescing: list[str] = []
    deferred: list[str] = []
    about: dict[str, list[InboxEntry]] = {}
    for entry in entries:
        for model in waiting[entry.key]:
            about.setdefault(model, []).append(entry)
    for model, heard in about.items():
        policy = engine.policies.for_model(model)
        some = sorted(heard, key=lambda entry: (entry.event.time, entry.seq))
        try:
            if _others_may_come(policy, some, now) or _is_queued(engine, policy):
                coalescing.append(model)
            else:
                cases.append(_case(engine, policy, some, now))
        except AnewError as error:
            deferred.append(f"{model}: {error}")
    return cases, coalescing, deferred


def _case(engine: Engine, policy: Policy, entries: Sequence[InboxEntry], now: datetime) -> Case:
    history = history_of(engine.ledger, policy)
    measured = gather_evidence(engine.ledger, engine.sources, policy, history, now)
    seen = history.without_open() if policy.limits.in_flight == "supersede" else history
    return Case(policy, entries, measured, seen, _force(entries))


def _others_may_come(policy: Policy, about: Sequence[InboxEntry], now: datetime) -> bool:
    """Whether the policy wants to wait for more events of a storm; a person's request is not kept waiting."""
    if any(entry.cause is Cause.MANUAL for entry in about):
        return False
    return now < min(entry.received_at for entry in about) + policy.evidence.coalesce


def _waiting_models(engine: Engine, entries: Sequence[InboxEntry]) -> dict[str, list[str]]:
    """The models that have yet to decide about each entry, by its key. An entry that several policies watch stays
    open until all of them decided, and an earlier pass may have done so for some.
    """
    return {
        entry.key: [model for model in _models_of(engine, entry.event) if model not in entry.decided_for]
        for entry in entries
    }


def _models_of(engine: Engine, event: Event) -> list[str]:
    if event.cause is Cause.MANUAL:
        known = {policy.model for policy in engine.policies.all}
        return [event.model] if event.model in known else []
    return [policy.model for policy in engine.policies.for_monitor(monitors_of(event))]


def _nobody_waits(entry: InboxEntry) -> str:
    if entry.decided_for:
        return f"decided for {', '.join(entry.decided_for)}; no other policy watches it any more"
    names = ", ".join(monitors_of(entry.event)) or entry.event.model or "nothing named"
    return f"held: no policy watches {names}"


def _is_queued(engine: Engine, policy: Policy) -> bool:
    """Whether new drift is kept until the retraining under way has ended."""
    if policy.limits.in_flight != "queue" or policy.mode == "shadow":
        return False
    return engine.ledger.open_retraining_of(policy.model) is not None


def _must_wait_for_open(engine: Engine, judged: Judged, now: datetime) -> bool:
    """Whether a retraining under way has to end first. By its policy it is given up for newer drift, unless so many
    were already that none would ever finish.
    """
    policy = judged.case.policy
    if policy.limits.in_flight != "supersede":
        return False
    under_way = engine.ledger.open_retraining_of(policy.model)
    if under_way is None:
        return False
    stoppable = RetrainingMove.STOP in RETRAINING_TRANSITIONS[under_way.state]
    # If our claim ran out, it may have been started for the very same drift.
    is_newer = max(entry.received_at for entry in judged.case.entries) >= under_way.created_at
    if stoppable and is_newer and judged.case.history.superseded_in_a_row < _SUPERSEDED_AT_MOST:
        keys = ", ".join(entry.event.id for entry in judged.case.entries[-3:])
        stop(engine, under_way, StopCause.SUPERSEDED, f"superseded by newer drift ({keys})", now)
    return True


def _record(engine: Engine, judged: Judged, settles: Sequence[str], now: datetime) -> DecisionRecord:
    """Write the decision down, with the retraining it starts and the entries that nobody else has to decide about."""
    record = _record_of(engine, judged, now)
    retraining = _intended(record.id, judged.case.policy, now) if judged.starts else None
    engine.ledger.record_decision(record, retraining, engine.actor, settles)
    return record


def _record_of(engine: Engine, judged: Judged, now: datetime) -> DecisionRecord:
    model = judged.case.policy.model
    decision_id = _decision_id(model, judged.case.entries)
    return DecisionRecord(
        id=decision_id,
        model=model,
        outcome=judged.decision.outcome,
        decided_at=now,
        policy_source=engine.policies.source_of(model),
        policy_hash=engine.policies.hash_of(model),
        tree=to_json(judged.decision.tree),
        evidence=evidence_json(judged.evidence),
        covers=tuple(entry.key for entry in judged.case.entries),
        retraining_id=_retraining_id(decision_id) if judged.starts else None,
        shadow=judged.decision.shadow,
        leaves_version=release.version if judged.rolls_back and (release := judged.case.history.release) else None,
    )


def _act(engine: Engine, judged: Judged, record: DecisionRecord, now: datetime) -> Decided:
    """Do what was decided, and tell people. What did not come about is the next tick's."""
    roll_back_as_decided(engine, record, now)
    launched = engine.ledger.retraining(record.retraining_id) if record.retraining_id else None
    if launched is not None:
        with suppress(TemporaryError):
            launched = launch(engine, launched, now)
    not_notified = _told(engine, judged, record)
    if launched is not None and not launched.is_open:
        notify_of_retraining(engine, launched)
    return Decided(record, judged.decision, judged.evidence, launched, not_notified)


def _told(engine: Engine, judged: Judged, record: DecisionRecord) -> str | None:
    """Tell people of the decision, if the policy wants that; returns why they could not be told."""
    policy = judged.case.policy
    if judged.decision.outcome not in policy.notify_on:
        return None
    return notify(engine, decision_notification(policy.model, record.id, judged.decision))


def _force(entries: Sequence[InboxEntry]) -> Force | None:
    for entry in entries:
        tags = entry.event.tags or {}
        if entry.cause is Cause.MANUAL and tags.get("force") == "true":
            return Force(tags.get("by", "unknown"), tags.get("reason", ""))
    return None


def _decision_id(model: str, entries: Sequence[InboxEntry]) -> str:
    # From what it covers, so that a pass repeated after a crash comes to the same id and is refused by the ledger.
    covered = "\n".join(sorted(entry.key for entry in entries))
    return "d-" + hashlib.sha256(f"{model}\n{covered}".encode()).hexdigest()[:12]


def _retraining_id(decision_id: str) -> str:
    return f"r-{decision_id.removeprefix('d-')}"


def _intended(decision_id: str, policy: Policy, now: datetime) -> Retraining:
    token = decision_id.removeprefix("d-")
    return Retraining(
        id=_retraining_id(decision_id),
        decision_id=decision_id,
        model=policy.model,
        launcher=policy.retrain.launcher.kind,
        launcher_spec=LAUNCHER_ADAPTER.dump_python(policy.retrain.launcher, mode="json", by_alias=True),
        job_name=f"anew-{policy.model}-{token}-train",
        evaluation_job=f"anew-{policy.model}-{token}-evaluate",
        created_at=now,
        state_since=now,
        charge=policy.limits.budget.per_retraining if policy.limits.budget else None,
    )
