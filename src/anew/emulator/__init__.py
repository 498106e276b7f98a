"""Local Azure: a server that speaks the wire protocols of Data Factory, Azure ML, Log Analytics and Event Grid. Its
clients are the real Azure SDKs, and demos and tests that use the control API under ``/emulator`` (`client`). Each
service has a room, `app` serves them all, `faults` and `throttle` stand in front of them. It may import no other part
of anew, except that the sample evaluation in `workloads` calls `anew.core.gate`.
"""
