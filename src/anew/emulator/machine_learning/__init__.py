"""Azure ML workspaces: jobs and their run history, models, MLflow runs, and the events that each change publishes. Jobs
run the programs of `workloads` in this process. It may import `arm`, `base`, `workloads`, and from `data_factory` the
name of the header that marks a repeated call.
"""
