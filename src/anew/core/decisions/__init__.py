"""Deciding whether to retrain: a pure function of policy, evidence, history and now, that returns its explanation.

Also the limits that hold a retraining back, the renderings of the tree of reasons, and the set of all policies. May
import every room of `core` below it: `policies`, `rules`, `evidence`, `events` and `base`.
"""
