"""Local Azure: a server that speaks the wire protocols of ADF, Azure ML, Log Analytics and Event Grid.

It knows nothing of the rest of anew: the real Azure SDK clients are its only users, besides the control
API under ``/emulator`` that lets a demo or a test make the world drift.
"""
