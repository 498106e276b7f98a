"""Which version of each model serves at its endpoints, and who may change that now.

In come policies, the endpoints as Azure shows them, and the traffic that the ledger has recorded. Out go the version
that serves, the releases that serve, and the lease of an endpoint. Imports `base` only.
"""
