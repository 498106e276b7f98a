"""The audit trail, and watermarks."""

from datetime import datetime

import sqlalchemy as sa

from anew.adapters.ledger import tables as t
from anew.adapters.ledger.rows import to_audit
from anew.adapters.ledger.store import Store, newest, upsert
from anew.engine.base.ledger import AuditRow


class Trail(Store):
    """The part of the ledger that keeps what was done, and how far was looked."""

    def audit(self, subject_id: str | None = None, limit: int = 200) -> list[AuditRow]:
        statement = newest(t.audit, t.audit.c.seq, limit)
        if subject_id is not None:
            statement = statement.where(t.audit.c.subject_id == subject_id)
        return [to_audit(row) for row in reversed(self._read(statement, "audit"))]

    def watermark(self, name: str) -> datetime | None:
        rows = self._read(sa.select(t.watermarks.c.at).where(t.watermarks.c.name == name), "watermark")
        return rows[0]["at"] if rows else None

    def set_watermark(self, name: str, at: datetime) -> None:
        with self._write("set watermark") as connection:
            connection.execute(upsert(connection, t.watermarks, {"name": name, "at": at}, {"at": at}))
