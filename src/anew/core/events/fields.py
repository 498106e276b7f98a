"""Reading loosely typed JSON: fields in any casing, times and numbers in any notation.

Azure ML spells one field `runTags`, `RunTags` or both in one payload, sends a model version as text or number, and
prints seven fraction digits. An unreadable field raises `FieldError`, whose text names the field and its value.
"""

import json
import math
import re
import reprlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple, cast

MAX_NAME = 256  # Azure's own limit for run, model and endpoint names is 255 or 260
MAX_TOPIC = 600
MAX_SUBJECT = 1024
MAX_LIST = 1500  # keeps a key below PostgreSQL's 2,704 bytes for an indexed value

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # no database takes a lone surrogate, PostgreSQL takes no NUL

_brief = reprlib.Repr()
_brief.maxlevel, _brief.maxstring, _brief.maxother, _brief.maxlong = 2, 80, 80, 40


class FieldError(ValueError):
    """A field is missing or has an unusable value."""


def shown(value: object) -> str:
    """A short rendering of any JSON value, safe for a log line or an answer."""
    return _brief.repr(value)


def storable(text: str) -> str:
    """The text with every character that no database can keep replaced by U+FFFD."""
    return _UNSTORABLE.sub("\ufffd", text)


class InText(NamedTuple):
    """A name that may be part of a text: a group of the pattern that the whole text matches."""

    text: str
    pattern: re.Pattern[str]
    group: str

    def find(self) -> str | None:
        """The name, None when it is missing or blank."""
        match = self.pattern.fullmatch(self.text)
        return match[self.group].strip() or None if match else None


class Fields:
    """The fields of one JSON object, whatever the casing of their names.

    When several names differ only in casing, the one spelled as asked for counts, then the first that is not null.
    """

    __slots__ = ("_values", "_where")

    def __init__(self, values: Mapping[str, Any], where: str = "") -> None:
        self._where = where
        self._values = values

    def get(self, name: str) -> Any:
        """The value as it came, None when absent or null."""
        value = self._values.get(name)
        if value is not None:
            return value
        folded = name.casefold()
        spelled = (other for key, other in self._values.items() if other is not None and key.casefold() == folded)
        return next(spelled, None)

    def optional_text(self, name: str, limit: int | None = None) -> str | None:
        """The text, cut off at *limit*; None when it is absent, blank or not a text."""
        value = self.get(name)
        return (storable(value).strip()[:limit].rstrip() or None) if isinstance(value, str) else None

    def text(self, name: str, otherwise: InText | None = None, *, limit: int = MAX_NAME) -> str:
        """The text that identifies something, taken from *otherwise* when absent. Raises FieldError."""
        value = self.get(name)
        if isinstance(value, str):
            value = value.strip() or None
        if value is None and otherwise is not None:
            value = otherwise.find()
        if value is None:
            raise self._missing(name)
        if not isinstance(value, str):
            raise self._wrong(name, "text", value)
        if len(value) > limit or _UNSTORABLE.search(value):
            raise self._wrong(name, f"at most {limit} ordinary characters", value)
        return value

    def version(self, name: str, otherwise: InText) -> str:
        """A version, sent as text or as a whole number. Raises FieldError."""
        value = self.get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            return self.text(name, otherwise)
        # Python refuses to print integers of more than 4,300 digits; no version has more than these.
        if not 0 <= value < 10**30:
            raise self._wrong(name, "a version", value)
        return str(value)

    def fraction(self, name: str) -> float:
        """A finite number in 0..1, sent as number or numeric text. Raises FieldError."""
        value = self._required(name)
        number = finite(value)
        if number is None or not 0 <= number <= 1:
            raise self._wrong(name, "a number in 0..1", value)
        return number

    def time(self, name: str) -> datetime:
        """A time as aware UTC; without an offset it is taken as UTC. Raises FieldError."""
        value = self._required(name)
        time = parse_time(value)
        if time is None:
            raise self._wrong(name, "an RFC 3339 time", value)
        return time

    def nested(self, name: str) -> "Fields":
        """The object under *name*; without fields when absent or null. Raises FieldError for anything else."""
        value = self.get(name)
        if value is None:
            return Fields({}, f"{name}.")
        if not isinstance(value, dict):
            raise self._wrong(name, "an object", value)
        return Fields(cast(dict[str, Any], value), f"{name}.")

    def tags(self, name: str) -> dict[str, str] | None:
        """Tags with every value as text; None when absent, null or no object."""
        value = self.get(name)
        if not isinstance(value, dict):
            return None
        tags = cast(dict[str, Any], value)
        return {storable(key): storable(_tag_text(content)) for key, content in tags.items()}

    def _required(self, name: str) -> Any:
        value = self.get(name)
        if value is None:
            raise self._missing(name)
        return value

    def _missing(self, name: str) -> FieldError:
        return FieldError(f"{self._where}{name} is missing")

    def _wrong(self, name: str, expected: str, found: object) -> FieldError:
        return FieldError(f"{self._where}{name} must be {expected}, found {shown(found)}")


def parse_time(value: object) -> datetime | None:
    """The time as aware UTC, None for anything else. Azure sends up to seven fraction digits; the seventh is cut."""
    if not isinstance(value, str):
        return None
    try:
        time = datetime.fromisoformat(value.strip().upper())
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def finite(value: object) -> float | None:
    """The number, given as number or numeric text; None for anything else, infinity and NaN included."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and not _NUMBER.fullmatch(value.strip()):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _tag_text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict | list):
        try:
            return json.dumps(value)
        except (RecursionError, ValueError, TypeError):
            return shown(cast(object, value))
    return "" if value is None else str(value)
