"""A worker and a server that anew runs instead of Prefect's own, for speed alone.

In come flow runs and automations, as for Prefect's own; out come the same states. `worker` runs each flow in a thread
of itself: from drift event to launched run in half a second instead of 5 to 11 (docs/adr/0003). `server` is Prefect's
server without two stalls, one of them a minute long on SQLite (docs/adr/0013). `prefect server start` and a pool of
type `process` serve the same deployments (tests/e2e/test_plain_prefect.py). Imports Prefect and no other room.
"""
