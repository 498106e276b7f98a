"""Values that every room of the core uses: the strict base of policy documents, metrics and their directions, the order
of model versions, and a token bucket. Imports no other room.
"""
