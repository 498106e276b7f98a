"""Adapters of Azure, by service, through Microsoft's SDKs.

They implement the ports of `engine/base/ports.py`: orders and policies go in, views and signals come out, and errors of
the SDKs become errors of `anew.errors`. Modules at the root serve all services. It imports `core`, `engine/base` and
`anew.errors`.
"""
