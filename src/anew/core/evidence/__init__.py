"""The evidence of a decision and the tree that explains it: signals, a model's history, both arranged for rules, and
verdicts with the comparisons behind them. Imports `base`.
"""
