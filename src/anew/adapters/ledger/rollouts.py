"""Rollouts, moved by compare-and-set, by one worker at a time."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from anew.adapters.ledger import tables as t
from anew.adapters.ledger.rows import (
    from_rollout,
    to_rollout,
)
from anew.adapters.ledger.store import Store, filtered, lease_is_over, note
from anew.core.lifecycle import Rollout, RolloutState


class Rollouts(Store):
    """The part of the ledger that keeps rollouts."""

    def add_rollout(self, rollout: Rollout, actor: str) -> bool:
        try:
            with self._write("add rollout") as connection:
                connection.execute(sa.insert(t.rollouts).values(from_rollout(rollout)))
                note(connection, rollout.created_at, "rollout", rollout.id, rollout.state, actor, {
                    "model": f"{rollout.model}:{rollout.version}", "endpoint": rollout.endpoint,
                })  # fmt: skip
        except IntegrityError:
            return False
        return True

    def rollout(self, rollout_id: str) -> Rollout | None:
        rows = self._read(sa.select(t.rollouts).where(t.rollouts.c.id == rollout_id), "rollout")
        return to_rollout(rows[0]) if rows else None

    def rollouts(
        self, states: Collection[RolloutState] | None = None, model: str | None = None, limit: int = 1000
    ) -> list[Rollout]:
        rows = self._read(filtered(t.rollouts, states, model, limit), "rollouts")
        return [to_rollout(row) for row in reversed(rows)]

    def lease_rollout(self, rollout: Rollout, now: datetime, lease: timedelta) -> bool:
        rows = t.rollouts
        with self._write("lease rollout") as connection:
            taken = connection.execute(
                sa.update(rows)
                .where(rows.c.id == rollout.id, rows.c.revision == rollout.revision)
                .where(lease_is_over(rows.c.leased_until, now, lease))
                .values(leased_until=now + lease)
            )
            return taken.rowcount == 1

    def free_rollout(self, rollout: Rollout) -> None:
        this = (t.rollouts.c.id == rollout.id) & (t.rollouts.c.revision == rollout.revision)
        with self._write("free rollout") as connection:
            connection.execute(sa.update(t.rollouts).where(this).values(leased_until=None))

    def save_rollout(
        self, rollout: Rollout, what: str, actor: str, now: datetime, detail: Mapping[str, Any]
    ) -> Rollout:
        return to_rollout(self._save(t.rollouts, "rollout", from_rollout(rollout), what, actor, now, detail))
