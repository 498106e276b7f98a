"""The order of model versions."""

import re
from collections.abc import Iterable

_PLAIN_VERSION = re.compile(r"[0-9]{1,18}", re.ASCII)


def version_order(version: str) -> tuple[int, int, str]:
    """Sort key from old to new: numbers by value; texts, whose age is unknown, before all numbers."""
    return (1, int(version), "") if _PLAIN_VERSION.fullmatch(version) else (0, 0, version)


def is_newer(version: str, other: str) -> bool:
    """Whether version comes after other."""
    return version_order(version) > version_order(other)


def next_version(versions: Iterable[str]) -> str:
    """The number after the highest one; versions that are not numbers are ignored."""
    return str(max((version_order(version)[1] for version in versions), default=0) + 1)
