"""One term per idea: columns, states and stored documents take the names of the vocabulary.

The audit trail is append-only, so its older rows keep the words they were written with.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_OPEN = (
    "state IN ('awaiting-approval', 'awaiting-data', 'canceling', 'evaluating', 'launching', 'registering', 'training')"
)
_COLUMNS = (
    ("inbox", "claimed_until", "leased_until"),
    ("retrainings", "held_since", "inconclusive_since"),
    ("retrainings", "answer_until", "approval_deadline"),
    ("retrainings", "answered_by", "approval_by"),
    ("retrainings", "answer_reason", "approval_reason"),
    ("retrainings", "answer", "approval"),
    ("retrainings", "look_at", "poll_at"),
    ("rollouts", "looked_at", "measured_at"),
    ("rollouts", "looks", "measurements"),
    ("rollouts", "why", "request_reason"),
    ("traffic", "why", "reason"),
)
_VALUES = (
    ("retrainings", "state", "holding", "awaiting-data"),
    ("retrainings", "launcher", "claimed", "adopted"),
    ("decisions", "outcome", "claimed", "adopted"),
    ("rollouts", "state", "returning", "aborting"),
)


def upgrade() -> None:
    op.drop_index("one_open_retraining", "retrainings")
    op.drop_index("retrainings_by_look", "retrainings")
    for table, old, new in _COLUMNS:
        # Plain SQL, because a batch that copies the table would lose its triggers.
        op.execute(f"ALTER TABLE {table} RENAME COLUMN {old} TO {new}")
    for table, column, old, new in _VALUES:
        values = sa.table(table, sa.column(column))
        op.execute(values.update().where(values.c[column] == old).values({column: new}))
    op.create_index("retrainings_by_poll", "retrainings", ["state", "poll_at"], unique=False)
    op.create_index(
        "one_open_retraining",
        "retrainings",
        ["model"],
        unique=True,
        sqlite_where=sa.text(_OPEN),
        postgresql_where=sa.text(_OPEN),
    )
    _rewrite("retrainings", "launcher_spec", _adopted)
    _rewrite("rollouts", "spec", _inconclusive_for)


def _adopted(spec: dict[str, Any]) -> dict[str, Any]:
    return {**spec, "kind": "adopted"} if spec.get("kind") == "claimed" else spec


def _inconclusive_for(spec: dict[str, Any]) -> dict[str, Any]:
    analysis = spec.get("analysis") or {}
    if "hold_for" not in analysis:
        return spec
    renamed = {"inconclusive_for" if name == "hold_for" else name: value for name, value in analysis.items()}
    return {**spec, "analysis": renamed}


def _rewrite(table: str, column: str, change: Any) -> None:
    documents = sa.table(table, sa.column("id", sa.String), sa.column(column, sa.JSON))
    connection = op.get_bind()
    for row_id, document in connection.execute(sa.select(documents.c.id, documents.c[column])).all():
        changed = change(document)
        if changed != document:
            connection.execute(documents.update().where(documents.c.id == row_id).values({column: changed}))
