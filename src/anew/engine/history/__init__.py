"""History: what led to what, read from the ledger and never written.

`chain` is the one walk from a record to the events that caused it and to the rollouts it led to. `trace`
(`anew explain`), `traffic` (`anew history`) and `lineage` (`anew lineage`) show what it finds. In: the ledger and an
id or a model. Out: values for the command line. May import `engine.base` and `core`.
"""
