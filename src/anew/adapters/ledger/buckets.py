"""Token buckets that all processes share."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from anew.adapters.ledger import tables as t
from anew.adapters.ledger.store import Store, upsert
from anew.core.base.token_bucket import Level, TokenBucket, take


class Buckets(Store):
    """The part of the ledger that keeps how much of each quota is left."""

    def take_tokens(self, bucket: str, count: float, limit: TokenBucket, now: datetime) -> timedelta:
        rows = t.token_buckets
        # The insert locks the row, or that there is none, so that two takers cannot both see the last token.
        first = {"name": bucket, "tokens": limit.burst, "at": now}
        with self._write("take tokens") as connection:
            connection.execute(upsert(connection, rows, first, {"name": bucket}))
            held = connection.execute(sa.select(rows).where(rows.c.name == bucket)).mappings().one()
            level, wait = take(limit, Level(held["tokens"], held["at"], held["paused_until"]), count, now)
            connection.execute(sa.update(rows).where(rows.c.name == bucket).values(level._asdict()))
        return wait

    def pause_bucket(self, bucket: str, until: datetime) -> None:
        values = {"name": bucket, "tokens": 0.0, "at": until, "paused_until": until}
        with self._write("pause bucket") as connection:
            connection.execute(upsert(connection, t.token_buckets, values, values))
