"""Notifications of decisions, retrainings and rollouts: their texts, and sending them after the change was recorded.

Uses the ports of `base` only. A notification that cannot be sent is logged and changes nothing else.
"""
