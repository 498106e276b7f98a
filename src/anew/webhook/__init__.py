"""The HTTP side of anew: events of Event Grid, approvals by a link, and a port for operators.

In come requests; out go events, durable in the ledger before they are acknowledged, decisions of people, and, by the
relay in the background, hints and flow runs to Prefect. Imports the engine and the core, and no adapter.
"""
