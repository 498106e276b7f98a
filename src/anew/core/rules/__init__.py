"""The rules a policy may be made of, one kind a file: its document and the function that judges it. A rule and facts go
in, a node of the decision's tree comes out. Imports `gain`, `evidence`, `statistics` and `base`.
"""
