"""Training a candidate: launch its one external run, wait for it, and stop it. Each function takes a retraining in its
state and returns it as it stands afterwards. Imports `serving`, `base` and the core.
"""
