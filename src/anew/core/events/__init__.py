"""Azure Machine Learning events: from the bytes of a request to one value per event, with its cause and its key.

In come request bodies, dead-letter blobs and stored JSON; out go `Event`, `Ignored` or `Rejected`, the answer to Event
Grid, and the flow that handles each cause. Pure; imports nothing of anew but `errors`.
"""
