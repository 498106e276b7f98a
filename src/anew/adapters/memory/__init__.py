"""Every port of the engine in memory, for tests, trials and dry runs. tests/contract holds them to the same obligations
as the real adapters.

`MemoryAzure` is the world behind the Azure ports, and `MemoryFlows` and `MemoryForms` stand for Prefect. It imports
`core`, `engine/base` and `anew.errors`.
"""
