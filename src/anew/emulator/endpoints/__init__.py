"""Online and batch endpoints of Azure ML: their deployments, traffic splits, keys, scoring and logs. The registered
model itself answers a request to score. It may import `machine_learning`, `arm`, `base` and `workloads`.
"""
