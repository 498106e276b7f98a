"""Distributions and sequential sums that the gate, drift, rollouts and rules share.

Numbers come in and go out; nothing here knows what they measure. `binomial` and `tails` import scipy.special, which
takes 0.2 s: a module that every command imports must import them inside a function. May import no other room.
"""
