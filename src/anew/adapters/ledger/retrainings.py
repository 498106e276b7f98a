"""Retrainings, moved by compare-and-set."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from anew.adapters.ledger import tables as t
from anew.adapters.ledger.rows import from_retraining, to_retraining
from anew.adapters.ledger.store import Store, among, batched, filtered
from anew.core.retrainings.lifecycle import OPEN_RETRAINING, Retraining, RetrainingState
from anew.errors import StaleWrite

_IS_OPEN = t.retrainings.c.state.in_(sorted(OPEN_RETRAINING))
_LOOK_AT_MOST = timedelta(hours=1)  # a later look was set by a clock that was wrong


class Retrainings(Store):
    """The part of the ledger that keeps retrainings."""

    def retraining(self, retraining_id: str) -> Retraining | None:
        rows = self._read(sa.select(t.retrainings).where(t.retrainings.c.id == retraining_id), "retraining")
        return to_retraining(rows[0]) if rows else None

    def retraining_by_job(self, run: str) -> Retraining | None:
        rows = t.retrainings
        ours = sa.or_(rows.c.job_name == run, rows.c.evaluation_job == run, rows.c.external_run_id == run)
        found = self._read(sa.select(rows).where(ours), "retraining by job")
        return to_retraining(found[0]) if found else None

    def open_retrainings_by_job(self, runs: Collection[str]) -> list[Retraining]:
        rows = t.retrainings
        found: dict[str, Retraining] = {}
        for some in batched(dict.fromkeys(runs)):
            # Three indexes, asked one by one: of an OR over them neither database uses any.
            for column in (rows.c.job_name, rows.c.evaluation_job, rows.c.external_run_id):
                ours = sa.select(rows).where(among(column, some), _IS_OPEN)
                found |= {row["id"]: to_retraining(row) for row in self._read(ours, "open retrainings by job")}
        return list(found.values())

    def open_retraining_of(self, model: str) -> Retraining | None:
        rows = self._read(sa.select(t.retrainings).where(t.retrainings.c.model == model, _IS_OPEN), "open retraining")
        return to_retraining(rows[0]) if rows else None

    def count_open_retrainings(self) -> int:
        counted = sa.select(sa.func.count().label("open")).select_from(t.retrainings).where(_IS_OPEN)
        return int(self._read(counted, "count open retrainings")[0]["open"])

    def due_retrainings(self, now: datetime, limit: int = 500) -> list[Retraining]:
        look = t.retrainings.c.poll_at
        due = (
            sa.select(t.retrainings)
            .where(_IS_OPEN, sa.or_(look.is_(None), look <= now, look > now + _LOOK_AT_MOST))
            .order_by(look.asc().nulls_first(), t.retrainings.c.id)
            .limit(limit)
        )
        return [to_retraining(row) for row in self._read(due, "due retrainings")]

    def postpone(self, polls: Mapping[str, datetime]) -> None:
        this = sa.update(t.retrainings).where(t.retrainings.c.id == sa.bindparam("this"))
        if polls:
            with self._write("postpone") as connection:
                connection.execute(
                    this.values(poll_at=sa.bindparam("then")), [{"this": key, "then": at} for key, at in polls.items()]
                )

    def retrainings(
        self, states: Collection[RetrainingState] | None = None, model: str | None = None, limit: int = 1000
    ) -> list[Retraining]:
        statement = filtered(t.retrainings, states, model, limit)
        return [to_retraining(row) for row in reversed(self._read(statement, "retrainings"))]

    def save_retraining(
        self,
        retraining: Retraining,
        what: str,
        actor: str,
        now: datetime,
        detail: Mapping[str, Any],
    ) -> Retraining:
        values = from_retraining(retraining)
        try:
            row = self._save(t.retrainings, "retraining", values, what, actor, now, detail)
        except IntegrityError as error:
            raise StaleWrite(f"another retraining of {retraining.model} is under way") from error
        return to_retraining(row)
