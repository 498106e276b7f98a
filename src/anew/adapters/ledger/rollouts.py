"""Rollouts, moved by compare-and-set by whoever holds their endpoint, and the traffic they moved."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from anew.adapters.ledger import tables as t
from anew.adapters.ledger.rows import from_rollout, from_traffic, to_rollout, to_traffic
from anew.adapters.ledger.store import Store, filtered, insert, lease_is_over, note
from anew.core.rollouts.lifecycle import Rollout, RolloutState
from anew.core.rollouts.traffic import TrafficChange


class Rollouts(Store):
    """The part of the ledger that keeps rollouts and traffic."""

    def add_rollout(self, rollout: Rollout, actor: str) -> bool:
        try:
            with self._write("add rollout") as connection:
                connection.execute(sa.insert(t.rollouts).values(from_rollout(rollout)))
                note(connection, rollout.created_at, "rollout", rollout.id, rollout.state, actor, {
                    "model": f"{rollout.model}:{rollout.version}", "endpoint": rollout.endpoint,
                    "reason": rollout.request_reason,
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

    def lease_endpoint(self, endpoint: str, holder: str, now: datetime, lease: timedelta) -> bool:
        rows = t.endpoint_leases
        with self._write("lease endpoint") as connection:
            given = insert(connection, rows).values(endpoint=endpoint, holder=holder, leased_until=now + lease)
            taken = connection.execute(
                given.on_conflict_do_update(
                    index_elements=[rows.c.endpoint],
                    set_={"holder": holder, "leased_until": now + lease},
                    where=sa.or_(rows.c.holder == holder, lease_is_over(rows.c.leased_until, now, lease)),
                ).returning(rows.c.holder)
            )
            return taken.fetchone() is not None

    def free_endpoint(self, endpoint: str, holder: str) -> None:
        rows = t.endpoint_leases
        with self._write("free endpoint") as connection:
            connection.execute(sa.delete(rows).where(rows.c.endpoint == endpoint, rows.c.holder == holder))

    def save_rollout(
        self,
        rollout: Rollout,
        what: str,
        actor: str,
        now: datetime,
        detail: Mapping[str, Any],
        traffic: TrafficChange | None = None,
    ) -> Rollout:
        values = from_rollout(rollout)
        also = None if traffic is None else sa.insert(t.traffic).values(from_traffic(traffic))
        return to_rollout(self._save(t.rollouts, "rollout", values, what, actor, now, detail, also))

    def note_traffic(self, change: TrafficChange) -> bool:
        newest = self.traffic(change.endpoint, limit=1)
        if newest and (newest[0].shares, newest[0].mirror) == (change.shares, change.mirror):
            return False
        with self._write("note traffic") as connection:
            connection.execute(sa.insert(t.traffic).values(from_traffic(change)))
        return True

    def traffic(
        self, endpoint: str | None = None, until: datetime | None = None, limit: int = 200
    ) -> list[TrafficChange]:
        rows = t.traffic
        wanted = sa.select(rows).order_by(rows.c.seq.desc()).limit(limit)
        if endpoint is not None:
            wanted = wanted.where(rows.c.endpoint == endpoint)
        if until is not None:
            wanted = wanted.where(rows.c.at <= until)
        return [to_traffic(row) for row in reversed(self._read(wanted, "traffic"))]
