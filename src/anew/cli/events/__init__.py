"""`anew events`: list, show, parse and subscribe to events, and recover lost ones. In: files, ids and the ledger. Out:
text or JSON. May import `cli.output`, `wiring`, `adapters`, `engine` and `core`.
"""
