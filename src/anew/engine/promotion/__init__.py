"""From a trained candidate to a registered version: evaluate it, follow the gate, wait for rows or for a person's
approval, register it. Each step takes a retraining in its state and returns it as it stands afterwards; approvals need
the ledger alone. Imports `training`, `serving`, `base` and the core.
"""
