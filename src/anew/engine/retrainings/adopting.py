"""Adopting trainings that somebody else started: a policy names their experiment and tags."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from anew.core.decisions.explain import to_json
from anew.core.events.event import Cause, Event
from anew.core.evidence.tree import Node, Verdict
from anew.core.policies.policy import Adoption, Policy
from anew.core.retrainings.lifecycle import ADOPTED, Retraining, RetrainingState
from anew.core.retrainings.lineage_tags import RETRAINING_TAG
from anew.engine.base.context import Engine
from anew.engine.base.ledger import DecisionRecord, InboxEntry
from anew.engine.base.ports import RunStatus
from anew.errors import StaleWrite


@dataclass(frozen=True, slots=True)
class NotOurRun:
    """A run that is not adopted, and the outcome of its inbox entry."""

    reason: str = "belongs to no retraining"


@dataclass(frozen=True, slots=True)
class NotYet:
    """A run that cannot be adopted just now, and why."""

    reason: str


def adopt_run(engine: Engine, entry: InboxEntry, now: datetime) -> Retraining | NotOurRun | NotYet:
    """Make a retraining of a completed run that exactly one policy adopts, once for each run.

    The event only says where to look, because it may be forged and may lack the tags; what Azure shows counts. A run
    with our tag, or within another run, is never adopted. Raises AzureUnavailable.
    """
    event = entry.event
    is_foreign = event.cause is Cause.RUN_COMPLETED and RETRAINING_TAG not in (event.tags or {})
    if not (is_foreign and event.run_id and _adoptions(engine, event.experiment, None)):
        return NotOurRun()
    view = engine.jobs.get(event.run_id)
    if view is None or view.status is RunStatus.RUNNING:
        # Azure may send the event of an end before it shows the end.
        if now < entry.received_at + engine.timing.confirm_within:
            return NotYet("Azure does not show yet that it completed")
        return NotOurRun("not adopted: Azure never showed that this run completed")
    # For a run within another run the SDK gives the experiment's id instead of its name: it is not adopted.
    is_as_reported = view.status is RunStatus.COMPLETED and view.experiment == event.experiment
    is_foreign = RETRAINING_TAG not in view.tags
    match _adoptions(engine, view.experiment, view.tags) if is_as_reported and is_foreign else []:
        case []:
            return NotOurRun()
        case [(policy, adoption)]:
            return _record(engine, entry, policy, adoption, now)
        case several:
            models = ", ".join(policy.model for policy, _ in several)
            return NotOurRun(f"not adopted: the policies of {models} adopt this run, but only one may")


def _adoptions(engine: Engine, experiment: str | None, tags: Mapping[str, str] | None) -> list[tuple[Policy, Adoption]]:
    """The active policies that adopt such runs, each with its first adoption that fits; without tags, all fit."""
    found: list[tuple[Policy, Adoption]] = []
    for policy in engine.policies.all:
        fits = (
            adoption
            for adoption in policy.retrain.adopt
            if adoption.experiment == experiment and (tags is None or adoption.tags.items() <= tags.items())
        )
        if policy.mode == "active" and (adoption := next(fits, None)):
            found.append((policy, adoption))
    return found


def _record(
    engine: Engine, entry: InboxEntry, policy: Policy, adoption: Adoption, now: datetime
) -> Retraining | NotYet:
    wait = NotYet(f"a retraining of {policy.model} is under way")
    if engine.ledger.open_retraining_of(policy.model) is not None:
        return wait
    retraining = _retraining(entry.event, policy, adoption, now)
    try:
        engine.ledger.record_decision(_decision(engine, entry, retraining, adoption), retraining, engine.actor)
    except StaleWrite:
        return wait
    return retraining


def _retraining(event: Event, policy: Policy, adoption: Adoption, now: datetime) -> Retraining:
    # The ids follow from the run, so that repeated events of one run, handled by any worker, give the same ids.
    token = hashlib.sha256(f"{event.workspace.key}\n{event.run_id}".encode()).hexdigest()[:12]
    return Retraining(
        id=f"r-{token}",
        decision_id=f"d-{token}",
        model=policy.model,
        launcher=ADOPTED,
        launcher_spec={"kind": ADOPTED, **adoption.model_dump(mode="json")},
        job_name=event.run_id or "",
        evaluation_job=f"anew-{policy.model}-{token}-evaluate",
        created_at=now,
        state_since=now,
        state=RetrainingState.TRAINING,
        charge=0.0,  # its owner has paid for it
    )


def _decision(engine: Engine, entry: InboxEntry, retraining: Retraining, adoption: Adoption) -> DecisionRecord:
    run, model = retraining.job_name, retraining.model
    tags = ", ".join(f"{name}={value}" for name, value in adoption.tags.items())
    what = f"{run} completed in the experiment {adoption.experiment}" + (f" with {tags}" if tags else "")
    values = {"run": run, "experiment": adoption.experiment, "tags": dict(adoption.tags)}
    return DecisionRecord(
        id=retraining.decision_id,
        model=model,
        outcome=ADOPTED,
        decided_at=retraining.created_at,
        policy_source=engine.policies.source_of(model),
        policy_hash=engine.policies.hash_of(model),
        tree=to_json(Node("adopt", Verdict.YES, f"{what}, and the policy adopts such runs", values)),
        evidence={"signals": [], "missing": []},
        covers=(entry.key,),
        retraining_id=retraining.id,
    )
