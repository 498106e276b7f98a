"""What the command line of a rival's bench says."""

import sys


def option(name: str, default: str) -> str:
    """The value of `name=value`, or the default."""
    return next((given.partition("=")[2] for given in sys.argv if given.startswith(f"{name}=")), default)


def wants_json() -> bool:
    """Whether JSON is wanted instead of a table."""
    return "--json" in sys.argv
