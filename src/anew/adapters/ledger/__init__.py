"""The ledger's database: events, decisions, retrainings, rollouts and their audit trail, in SQLite or PostgreSQL.

Implements the `Ledger` port of `engine/base/ledger.py`: values of the core and of the port go in and come out, rows
stay inside. It imports `core`, `engine/base` and `anew.errors`.
"""

from anew.adapters.ledger.ledger import SqlLedger

__all__ = ["SqlLedger"]
