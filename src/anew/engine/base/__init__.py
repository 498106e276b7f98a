"""The base of the engine: its ports, the ledger's port, the engine that holds them, and the changes of state.

Every other room of the engine takes an `Engine` from here. It imports `core` and `anew.errors` only.
"""
