"""`anew gate`: compare two models on scored rows, and draw the verdict. In: a table and a gate. Out: text or JSON, and
the exit code. May import `cli.output`, `adapters` and `core`.
"""
