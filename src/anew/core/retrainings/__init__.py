"""Retrainings as values: their lifecycle, the moves that follow from a gate, when to poll, the tags of the resulting
version, and the links that approve it. Imports `gate`, `policies` and `base`; everything here is pure.
"""
