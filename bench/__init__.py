"""Benchmarks: the figures the README quotes, each by one command. `python -m bench` lists them."""
