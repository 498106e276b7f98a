"""The figures the README quotes, each by one command: python -m bench latency | demo | help."""
