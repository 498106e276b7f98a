"""The durable list of events, from their arrival until a flow has handled them.

In come parsed events: from the webhook, from dead letters, and from Azure for what no event told. Out go entries to the
flows that handle them, and hints and flow runs to Prefect. Imports `engine.base` and the core.
"""
