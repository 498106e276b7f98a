"""Scenarios for demos, tests and benches: streams of rows that drift, values that a monitor observes, and simulated
traffic. Each is driven over the control API, which real Azure does not have. It may import `endpoints`, `monitors`,
`workloads`, `arm` and `base`.
"""
