"""A ledger as the first version of its schema left it, with a row of each kind that a later migration changes."""

import json
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from anew.adapters.ledger.database import create_engine, upgrade
from anew.core.events.serialization import dump_event
from tests.builders import drift_event

AT = datetime(2026, 5, 4, 12)  # noqa: DTZ001 - as the tables keep it
_MADE = {"created_at": AT, "state_since": AT}
ROWS: dict[str, dict[str, Any]] = {
    "inbox": {"key": "k", "event_id": "e", "cause": "drift", "source": "webhook", "received_at": AT, "deliveries": 1,
              "event": json.loads(dump_event(drift_event())), "claimed_until": AT},
    "decisions": {"id": "d-1", "model": "price", "outcome": "claimed", "decided_at": AT, "policy_source": "p",
                  "policy_hash": "h", "tree": {}, "evidence": {}, "covers": [], "retraining_id": "r-1",
                  "shadow": False},
    "retrainings": {"id": "r-1", "decision_id": "d-1", "model": "price", "launcher": "claimed", **_MADE,
                    "launcher_spec": {"kind": "claimed", "experiment": "nightly"}, "job_name": "j",
                    "evaluation_job": "e", "state": "holding", "revision": 3, "champion_changes": 0, "evaluations": 2,
                    "held_since": AT, "answer_until": AT, "answer": "approved", "answered_by": "ada",
                    "answer_reason": "fine", "look_at": AT},
    "rollouts": {"id": "o-1", "model": "price", "version": "4", "endpoint": "price-online", "deployment": "p4", **_MADE,
                 "spec": {"endpoint": "price-online", "analysis": {"hold_for": "PT1H"}}, "kind": "rollback",
                 "state": "returning", "revision": 5, "step": 1, "looked_at": AT, "looks": 7, "failures": 1,
                 "errors": 0, "why": "ada asked"},
    "traffic": {"at": AT, "endpoint": "online/price-online", "shares": [], "mirror": [], "actor": "ada",
                "why": "by hand"},
}  # fmt: skip


def make_first_ledger(url: str) -> None:
    """Create it in an empty database."""
    engine = create_engine(url)
    upgrade(engine, "0001")
    tables = sa.MetaData()
    tables.reflect(engine)
    with engine.begin() as connection:
        for name, row in ROWS.items():
            connection.execute(tables.tables[name].insert().values(row))
    engine.dispose()
