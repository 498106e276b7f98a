"""Record decisions: each in one transaction with the retraining that it starts and the entries that it settles."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from anew.core.decisions.explain import to_json
from anew.core.evidence.serialization import evidence_json
from anew.core.policies.policy import LAUNCHER_ADAPTER, Policy, launcher_kind
from anew.core.retrainings.lifecycle import RETRAINING_TRANSITIONS, Retraining, RetrainingMove, StopCause
from anew.engine.base.context import Engine
from anew.engine.base.ledger import DecisionRecord, InboxEntry
from anew.engine.decisions.case import Judged, Stage, judge_again
from anew.engine.decisions.history import history_of
from anew.engine.training.stopping import stop
from anew.errors import AnewError

_SUPERSEDED_AT_MOST = 3


@dataclass(frozen=True, slots=True)
class Recorded:
    """A decision that is in the ledger."""

    judged: Judged
    record: DecisionRecord


def record(
    engine: Engine, judged: Sequence[Judged], models: Mapping[str, tuple[str, ...]], now: datetime
) -> Stage[Recorded]:
    """Record the decisions one after the other, and release the entries that some model has yet to decide about.

    *models* gives, for each leased entry, the models that have yet to decide about it: the last of them settles it. A
    model waits when its open retraining has to end first. A decision that cannot be recorded fails its own model only.
    """
    recorded: dict[str, Recorded] = {}
    waiting: list[str] = []
    failed: dict[str, str] = {}
    for each in judged:
        try:
            current = _within_limits(engine, each, now)
            if current.starts_training and _waits_for_open_retraining(engine, current, now):
                waiting.append(each.model)
                continue
            last = [entry.key for entry in each.case.entries if set(models[entry.key]) <= {*recorded, each.model}]
            recorded[each.model] = Recorded(current, _write(engine, current, last, now))
        except AnewError as error:
            failed[each.model] = str(error)
    if undecided := [key for key, some in models.items() if not set(some) <= recorded.keys()]:
        engine.ledger.release(undecided, now)
    return Stage(tuple(recorded.values()), tuple(waiting), failed)


def _within_limits(engine: Engine, judged: Judged, now: datetime) -> Judged:
    """The decision again where the decisions recorded before it may leave no room for another open retraining."""
    policy = judged.case.policy
    if not judged.starts_training or policy.limits.max_concurrent is None:
        return judged
    open_elsewhere = history_of(engine.ledger, policy).open_elsewhere
    return judge_again(engine.policies.compiled(policy.model), judged, open_elsewhere, now)


def _waits_for_open_retraining(engine: Engine, judged: Judged, now: datetime) -> bool:
    """Whether an open retraining has to end first. With `in_flight: supersede` it is stopped for newer drift, unless so
    many were stopped in a row that none would ever finish.
    """
    policy = judged.case.policy
    if policy.limits.in_flight != "supersede":
        return False
    open_retraining = engine.ledger.open_retraining_of(policy.model)
    if open_retraining is None:
        return False
    entries = judged.case.entries
    stoppable = RetrainingMove.STOP in RETRAINING_TRANSITIONS[open_retraining.state]
    # If our lease ran out, another pass may have started it for the very same drift.
    is_newer = max(entry.received_at for entry in entries) >= open_retraining.created_at
    if stoppable and is_newer and judged.case.history.superseded_in_a_row < _SUPERSEDED_AT_MOST:
        names = ", ".join(entry.event.id for entry in entries[-3:])
        stop(engine, open_retraining, StopCause.SUPERSEDED, f"superseded by newer drift ({names})", now)
    return True


def _write(engine: Engine, judged: Judged, settles: Sequence[str], now: datetime) -> DecisionRecord:
    model, release = judged.model, judged.case.history.release
    token = _token(model, judged.case.entries)
    retraining = _new_retraining(token, judged.case.policy, now) if judged.starts_training else None
    written = DecisionRecord(
        id=f"d-{token}",
        model=model,
        outcome=judged.decision.outcome,
        decided_at=now,
        policy_source=engine.policies.source_of(model),
        policy_hash=engine.policies.hash_of(model),
        tree=to_json(judged.decision.tree),
        evidence=evidence_json(judged.evidence),
        covers=tuple(entry.key for entry in judged.case.entries),
        retraining_id=retraining.id if retraining else None,
        shadow=judged.decision.shadow,
        leaves_version=release.version if judged.rolls_back and release else None,
    )
    engine.ledger.record_decision(written, retraining, engine.actor, settles)
    return written


def _token(model: str, entries: Sequence[InboxEntry]) -> str:
    # From the covered entries, so that a pass repeated after a crash gets the same id and the ledger refuses it.
    covered = "\n".join(sorted(entry.key for entry in entries))
    return hashlib.sha256(f"{model}\n{covered}".encode()).hexdigest()[:12]


def _new_retraining(token: str, policy: Policy, now: datetime) -> Retraining:
    return Retraining(
        id=f"r-{token}",
        decision_id=f"d-{token}",
        model=policy.model,
        launcher=launcher_kind(policy.retrain.launcher),
        launcher_spec=LAUNCHER_ADAPTER.dump_python(policy.retrain.launcher, mode="json", by_alias=True),
        job_name=f"anew-{policy.model}-{token}-train",
        evaluation_job=f"anew-{policy.model}-{token}-evaluate",
        created_at=now,
        state_since=now,
        charge=policy.limits.budget.per_retraining if policy.limits.budget else None,
    )
