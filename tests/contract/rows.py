"""Rows for the ledger: a decision with its retraining, and a rollout, by a number."""

from anew.core.retrainings.lifecycle import Retraining
from anew.core.rollouts.lifecycle import Rollout
from anew.engine.base.ledger import DecisionRecord
from tests.builders import ENDPOINT, MODEL, START


def record(name: str = "1", *, model: str = MODEL, covers: tuple[str, ...] = ()) -> DecisionRecord:
    return DecisionRecord(
        id=f"d-{name}",
        model=model,
        outcome="retrain",
        decided_at=START,
        policy_source="price.yaml",
        policy_hash="0" * 64,
        tree={"rule": "decision", "values": {"limit": 0.3}},
        evidence={"signals": [], "missing": []},
        covers=covers,
        retraining_id=f"r-{name}",
        leaves_version="2",
    )


def retraining(name: str = "1", *, model: str = MODEL) -> Retraining:
    return Retraining(
        id=f"r-{name}",
        decision_id=f"d-{name}",
        model=model,
        launcher="adf",
        launcher_spec={"kind": "adf", "pipeline": "retrain"},
        job_name=f"job-{name}",
        evaluation_job=f"evaluation-{name}",
        created_at=START,
        state_since=START,
    )


def rollout(name: str = "1") -> Rollout:
    return Rollout(
        id=f"o-{name}",
        model=MODEL,
        version=name,
        endpoint=ENDPOINT,
        deployment=f"price-{name}",
        spec={"match": {"stage": "production"}, "endpoint": ENDPOINT},
        created_at=START,
        state_since=START,
    )
