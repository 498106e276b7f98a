"""The ledger's database: SQLAlchemy Core tables, Alembic migrations, and the Ledger port on top."""

from anew.adapters.ledger.ledger import SqlLedger

__all__ = ["SqlLedger"]
