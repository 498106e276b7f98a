"""The way of a model version to an endpoint's traffic, as values and pure functions.

In come policies, the tags of versions, and the requests that deployments answered. Out go the lifecycle of a rollout,
the split and the verdict of each stage, the plan of a rollback, and the history of an endpoint's traffic. Imports
`base`, `evidence`, `policies` and `statistics` of the core.
"""
