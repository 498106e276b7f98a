"""Prefect as anew uses it: hints and notifications go out as Prefect events, flow runs are started and listed by REST.

Implements the engine's ports `Flows`, `Notifier` and the forms of approvals; imports `core`, `engine` and `errors`.
Only `in_process` and `form`, which Prefect itself loads, import Prefect.
"""
