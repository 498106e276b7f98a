"""The ledger on SQLAlchemy: SQLite, or PostgreSQL for several machines."""

from pathlib import Path
from typing import Self

import sqlalchemy as sa

from anew.adapters.ledger.buckets import Buckets
from anew.adapters.ledger.database import create_engine, upgrade
from anew.adapters.ledger.decisions import Decisions
from anew.adapters.ledger.inbox import Inbox
from anew.adapters.ledger.retrainings import Retrainings
from anew.adapters.ledger.rollouts import Rollouts
from anew.adapters.ledger.trail import Trail
from anew.errors import LedgerMissing


class SqlLedger(Inbox, Decisions, Retrainings, Rollouts, Trail, Buckets):
    """Implements the Ledger port; its obligations are tested in tests/contract."""

    @classmethod
    def open(cls, url: str, *, migrate: bool = True) -> Self:
        """Connect; with migrate, bring the schema up to date first. Raises LedgerUnavailable."""
        engine = create_engine(url)
        if migrate:
            upgrade(engine)
        return cls(engine)

    @classmethod
    def open_to_read(cls, url: str) -> Self:
        """The ledger as it is, or an empty one in memory where there is none: looking makes no file and no schema."""
        place = sa.make_url(url)
        if place.get_backend_name() == "sqlite" and place.database and not Path(place.database).is_file():
            return cls.in_memory()
        ledger = cls.open(url, migrate=False)
        try:
            ledger.watermark("")
        except LedgerMissing:
            return cls.in_memory()
        return ledger

    @classmethod
    def in_memory(cls) -> Self:
        """A fresh ledger that lives as long as this object."""
        return cls.open("sqlite://")
