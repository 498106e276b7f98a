"""From drift to an external training run: claim, gather evidence, decide, record, launch."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from anew.core.decide import decide, monitors_of
from anew.core.decision import Decision, Evidence, Force, Outcome
from anew.core.events import Cause, Event
from anew.core.explain import to_json, to_notice
from anew.core.lifecycle import Retraining, RetrainingMove
from anew.core.policy import Policy
from anew.engine.context import Engine
from anew.engine.evidence import evidence_json, gather_evidence, history_of
from anew.engine.intake import ACTS_ON
from anew.engine.ports import DecisionRecord, InboxEntry, Receipt, Source, TrainingOrder
from anew.engine.transition import move_retraining, note_retraining
from anew.errors import (
    AnewError,
    AzureRefused,
    InvalidPolicy,
    NotificationFailed,
    StaleWrite,
    TemporaryError,
    UnknownModel,
)

MANUAL_TYPE = "anew.RetrainingRequested"


@dataclass(frozen=True, slots=True)
class Decided:
    """One decision of this pass, and the retraining it started, if any."""

    record: DecisionRecord
    decision: Decision
    evidence: Evidence
    retraining: Retraining | None
    untold: str | None = None  # why people could not be told of it


@dataclass(frozen=True, slots=True)
class RetrainReport:
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


def retrain(engine: Engine, now: datetime) -> RetrainReport:
    """Decide about everything in the inbox that may mean drift; a storm about one model is one decision."""
    entries = engine.ledger.claim(ACTS_ON["retrain"], now, engine.timing.claim_lease)
    waiting = _waiting_models(engine, entries)
    unwatched = [entry for entry in entries if not waiting[entry.key]]
    for entry in unwatched:
        engine.ledger.settle([entry.key], _nobody_watches(entry.event), now)
    decided: list[Decided] = []
    deferred: list[str] = []
    patient: list[str] = []
    for model in dict.fromkeys(model for models in waiting.values() for model in models):
        about = [entry for entry in entries if model in waiting[entry.key]]
        if _others_may_come(engine.policies.for_model(model), about, now):
            patient.append(model)
            continue
        settles = [entry.key for entry in about if waiting[entry.key] == [model]]
        try:
            decided.append(_decide_one(engine, engine.policies.for_model(model), about, settles, now))
        except AnewError as error:  # one model that cannot be decided about must not hold up the others
            deferred.append(f"{model}: {error}")
            continue
        for entry in about:
            waiting[entry.key].remove(model)
    if undecided := [key for key, models in waiting.items() if models]:
        engine.ledger.release(undecided)
    return RetrainReport(tuple(decided), tuple(entry.key for entry in unwatched), tuple(deferred), tuple(patient))


def _others_may_come(policy: Policy, about: Sequence[InboxEntry], now: datetime) -> bool:
    """Whether the policy wants to wait for more events of a storm; a person's request is not kept waiting."""
    if any(entry.cause is Cause.MANUAL for entry in about):
        return False
    return now < min(entry.received_at for entry in about) + policy.evidence.coalesce


def _waiting_models(engine: Engine, entries: Sequence[InboxEntry]) -> dict[str, list[str]]:
    """The models that have yet to decide about each entry, by its key. An entry that several policies watch stays
    open until all of them decided, and an earlier pass may have done so for some.
    """
    covered: dict[str, frozenset[str]] = {}
    waiting: dict[str, list[str]] = {}
    for entry in entries:
        models = _models_of(engine, entry.event)
        if len(models) > 1:
            for model in models:
                if model not in covered:
                    covered[model] = _covered(engine, model)
            models = [model for model in models if entry.key not in covered[model]]
        waiting[entry.key] = models
    return waiting


def _covered(engine: Engine, model: str) -> frozenset[str]:
    return frozenset(key for record in engine.ledger.decisions(model, limit=1000) for key in record.covers)


def _models_of(engine: Engine, event: Event) -> list[str]:
    if event.cause is Cause.MANUAL:
        known = {policy.model for policy in engine.policies.all}
        return [event.model] if event.model in known else []
    return [policy.model for policy in engine.policies.for_monitor(monitors_of(event))]


def _nobody_watches(event: Event) -> str:
    names = ", ".join(monitors_of(event)) or event.model or "nothing named"
    return f"held: no policy watches {names}"


def _decide_one(
    engine: Engine, policy: Policy, entries: Sequence[InboxEntry], settles: Collection[str], now: datetime
) -> Decided:
    history = history_of(engine.ledger, policy)
    events = [entry.event for entry in entries]
    evidence = gather_evidence(engine.ledger, engine.sources, policy, events, history, now)
    compiled = engine.policies.compiled(policy.model)
    decision = decide(compiled, evidence, history, now, _force(entries))
    decision_id = _decision_id(policy.model, entries)
    starts = decision.outcome is Outcome.RETRAIN and not decision.shadow
    retraining = _intended(decision_id, policy, now) if starts else None
    record = DecisionRecord(
        id=decision_id,
        model=policy.model,
        outcome=decision.outcome,
        decided_at=now,
        policy_source=engine.policies.source_of(policy.model),
        policy_hash=engine.policies.hash_of(policy.model),
        tree=to_json(decision.tree),
        evidence=evidence_json(evidence),
        covers=tuple(entry.key for entry in entries),
        retraining_id=retraining.id if retraining else None,
        shadow=decision.shadow,
    )
    engine.ledger.record_decision(record, retraining, engine.actor, settles)
    launched = launch(engine, retraining, now) if retraining else None
    return Decided(record, decision, evidence, launched, _told(engine, policy, record, decision))


def _told(engine: Engine, policy: Policy, record: DecisionRecord, decision: Decision) -> str | None:
    """Tell people of the decision, if the policy wants that; returns why they could not be told."""
    if decision.outcome not in policy.notify_on:
        return None
    try:
        engine.notifier.tell(*to_notice(policy.model, record.id, decision))
    except NotificationFailed as error:  # a chat that is down must not hold up a training
        return str(error)
    return None


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


def _intended(decision_id: str, policy: Policy, now: datetime) -> Retraining:
    token = decision_id.removeprefix("d-")
    return Retraining(
        id=f"r-{token}",
        decision_id=decision_id,
        model=policy.model,
        launcher=policy.retrain.launcher.kind,
        job_name=f"anew-{policy.model}-{token}-train",
        evaluation_job=f"anew-{policy.model}-{token}-evaluate",
        created_at=now,
        state_since=now,
        charge=policy.limits.budget.per_retraining if policy.limits.budget else None,
    )


# --- launching --------------------------------------------------------------------------------------------


def order_of(engine: Engine, retraining: Retraining) -> TrainingOrder:
    """What the launcher needs to make or find this retraining's run.

    Raises UnknownModel when its policy is gone, or names another kind of launcher by now.
    """
    policy = engine.policies.for_model(retraining.model)
    if policy.retrain.launcher.kind != retraining.launcher:
        raise UnknownModel(f"the policy of {retraining.model} launches by {retraining.launcher} no longer")
    return TrainingOrder(
        retraining.id, retraining.job_name, retraining.model, policy.retrain.launcher, retraining.created_at
    )


def launch(engine: Engine, retraining: Retraining, now: datetime) -> Retraining:
    """Make the one external run: look for it first, note the intent, start it, record it.

    Whatever goes wrong in between leaves the retraining launching, and the next pass looks before it acts.
    """
    launcher = engine.launchers[retraining.launcher]
    order = order_of(engine, retraining)
    try:
        run_id = launcher.find(order) if retraining.launch_attempted_at else None
        if run_id is None:
            if _may_still_turn_up(engine, retraining, now):
                return retraining
            retraining = note_retraining(engine, retraining, "launch-intended", now, launch_attempted_at=now)
            run_id = launcher.launch(order)
    except (TemporaryError, StaleWrite):
        return engine.ledger.retraining(retraining.id) or retraining
    except (AzureRefused, InvalidPolicy) as error:
        return move_retraining(engine, retraining, RetrainingMove.FAILED, now, reason=f"launch refused: {error}")
    return move_retraining(engine, retraining, RetrainingMove.LAUNCHED, now, external_run_id=run_id)


def _may_still_turn_up(engine: Engine, retraining: Retraining, now: datetime) -> bool:
    attempted = retraining.launch_attempted_at
    return attempted is not None and now < attempted + engine.timing.launch_settle
