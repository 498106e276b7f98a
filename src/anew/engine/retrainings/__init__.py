"""Passes over retrainings: advance one by the step of its state, handle finished runs from the inbox, adopt trainings
of others, poll what is due. Each pass returns the retrainings as they stand, and what has to wait. Imports `training`,
`promotion`, `inbox`, `notifications`, `base` and the core.
"""
