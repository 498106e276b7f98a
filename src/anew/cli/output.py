"""Output of commands: JSON for machines, text for people, errors that end in the next step."""

import json
import sys
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any

from anew.errors import AnewError


def print_json(value: Any) -> None:
    """One JSON document on one line."""
    sys.stdout.write(json.dumps(value, default=_plain, ensure_ascii=False) + "\n")


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def complain(error: AnewError) -> None:
    """An error for a person, ending in what to do."""
    sys.stderr.write(f"error: {error}\n")
    if error.advice:
        sys.stderr.write(f"{error.advice}\n")


def one_line(text: str) -> str:
    """The text as one line without control characters: reasons and names come from events and people."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def utc(moment: datetime | None) -> datetime:
    """A moment from the command line: UTC unless it has an offset; now when there is none."""
    if moment is None:
        return datetime.now(UTC)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def moment_text(moment: datetime) -> str:
    """A moment for a person."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"
