"""Drift monitors of Azure ML: they compute metrics from rows, and write each result down as runs, logs and events. It
may import `machine_learning` and `base`.
"""
