"""Azure Data Factory: pipelines, their runs, and the expression language. A run goes through its activities and calls
other services over HTTP, as real pipelines do. It may import `arm` and `base`.
"""
