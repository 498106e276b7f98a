"""Rollouts: moving the traffic of an endpoint to a model version in stages, and rolling it back.

In come registered versions, tags, requests to roll back and open rollouts. Out go moves of rollouts, traffic written to
endpoints, tags and notifications. `deploy`, `following_tags` and `rollback` open rollouts, made by `opening`. `advance`
drives them through their states, one file each: `starting`, `creating`, `shifting`, `baking` and `aborting`, which do
not call each other; `measuring` and `effects` lie below them. Imports `inbox`, `notifications`, `serving` and `base`.
"""
