"""Taking on trainings that somebody else started, because a policy claims them."""

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
from anew.engine.base.ports import RunStatus, RunView
from anew.errors import StaleWrite


@dataclass(frozen=True, slots=True)
class NotOurRun:
    """A run that is nothing to us, and the inbox's word for it."""

    reason: str = "not a run of ours"


@dataclass(frozen=True, slots=True)
class NotYet:
    """A run that cannot be taken on just now, and why."""

    reason: str


def adopt_run(engine: Engine, entry: InboxEntry, now: datetime) -> Retraining | NotOurRun | NotYet:
    """Make a retraining of a completed run of somebody else's that exactly one policy claims, once for a run.

    The event says where to look, and what Azure shows counts: an event may be forged, and carries tags only sometimes.
    A run with our tag, or within another run, is never claimed. Raises AzureUnavailable.
    """
    event = entry.event
    is_foreign = event.cause is Cause.RUN_COMPLETED and RETRAINING_TAG not in (event.tags or {})
    if not (is_foreign and event.run_id and _claims(engine, event.experiment, None)):
        return NotOurRun()
    view = engine.jobs.get(event.run_id)
    if view is None or view.status is RunStatus.RUNNING:
        return _unseen(engine, entry, now)
    match _confirmed(engine, event, view):
        case []:
            return NotOurRun()
        case [(policy, claim)]:
            return _record(engine, entry, policy, claim, now)
        case several:
            models = ", ".join(policy.model for policy, _ in several)
            return NotOurRun(f"held: the policies of {models} claim this run, and only one may")


def _confirmed(engine: Engine, event: Event, view: RunView) -> list[tuple[Policy, Adoption]]:
    """The policies that claim the run as Azure shows it."""
    # Of a run within another run the SDK tells the experiment's id, not its name, so that it fits no claim.
    is_as_told = view.status is RunStatus.COMPLETED and view.experiment == event.experiment
    if not is_as_told or RETRAINING_TAG in view.tags:
        return []
    return _claims(engine, view.experiment, view.tags)


def _claims(engine: Engine, experiment: str | None, tags: Mapping[str, str] | None) -> list[tuple[Policy, Adoption]]:
    """The policies that claim such runs, each with its first claim that fits; tags of None fit every claim."""
    found: list[tuple[Policy, Adoption]] = []
    for policy in engine.policies.all:
        fits = (claim for claim in policy.retrain.adopt if _fits(claim, experiment, tags))
        claim = next(fits, None)
        if claim is not None and policy.mode == "active":
            found.append((policy, claim))
    return found


def _fits(claim: Adoption, experiment: str | None, tags: Mapping[str, str] | None) -> bool:
    return claim.experiment == experiment and (tags is None or claim.tags.items() <= tags.items())


def _unseen(engine: Engine, entry: InboxEntry, now: datetime) -> NotOurRun | NotYet:
    """Azure may tell of an end before it shows it, for a while."""
    if now < entry.received_at + engine.timing.confirm_within:
        return NotYet("Azure does not show yet that it completed")
    return NotOurRun("held: Azure never showed that this run completed")


def _record(
    engine: Engine, entry: InboxEntry, policy: Policy, claim: Adoption, now: datetime
) -> Retraining | NotOurRun | NotYet:
    wait = NotYet(f"a retraining of {policy.model} is under way")
    if engine.ledger.open_retraining_of(policy.model) is not None:
        return wait
    retraining = _intended(entry.event, policy, claim, now)
    try:
        engine.ledger.record_decision(_decision(engine, entry, retraining, claim), retraining, engine.actor)
    except StaleWrite:
        return wait
    return retraining


def _intended(event: Event, policy: Policy, claim: Adoption, now: datetime) -> Retraining:
    token = _token(event)
    return Retraining(
        id=f"r-{token}",
        decision_id=f"d-{token}",
        model=policy.model,
        launcher=ADOPTED,
        launcher_spec={"kind": ADOPTED, **claim.model_dump(mode="json")},
        job_name=event.run_id or "",
        evaluation_job=f"anew-{policy.model}-{token}-evaluate",
        created_at=now,
        state_since=now,
        state=RetrainingState.TRAINING,
        charge=0.0,  # whoever started it paid for it
    )


def _decision(engine: Engine, entry: InboxEntry, retraining: Retraining, claim: Adoption) -> DecisionRecord:
    run, model = retraining.job_name, retraining.model
    tags = ", ".join(f"{name}={value}" for name, value in claim.tags.items())
    what = f"{run} completed in the experiment {claim.experiment}" + (f" with {tags}" if tags else "")
    values = {"run": run, "experiment": claim.experiment, "tags": dict(claim.tags)}
    return DecisionRecord(
        id=retraining.decision_id,
        model=model,
        outcome=ADOPTED,
        decided_at=retraining.created_at,
        policy_source=engine.policies.source_of(model),
        policy_hash=engine.policies.hash_of(model),
        tree=to_json(Node("claim", Verdict.YES, f"{what}, and the policy adopts such runs", values)),
        evidence={"signals": [], "missing": []},
        covers=(entry.key,),
        retraining_id=retraining.id,
    )


def _token(event: Event) -> str:
    # From the run, so that the same run comes to the same ids however often, and by whom, its end is told of.
    return hashlib.sha256(f"{event.workspace.key}\n{event.run_id}".encode()).hexdigest()[:12]
