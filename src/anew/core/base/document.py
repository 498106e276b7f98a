"""The parts of every policy document: its strict base class, names, and durations with their unit."""

import re
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

LONGEST = timedelta(days=3650)  # keeps `now - duration` within the calendar

_SHORT = re.compile(r"(\d{1,8})(s|m|h|d|w)", re.ASCII)
_ISO = re.compile(
    r"P(?=\w)(?:(?P<weeks>\d{1,8})W)?(?:(?P<days>\d{1,8})D)?"
    r"(?:T(?=\d)(?:(?P<hours>\d{1,8})H)?(?:(?P<minutes>\d{1,8})M)?(?:(?P<seconds>\d{1,8}(?:\.\d{1,9})?)S)?)?",
    re.ASCII,
)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_duration(value: object) -> timedelta:
    """A duration of at most ten years from ISO 8601 (`PT1H`, `P30D`; no months or years, whose length varies) or
    from a short form (`90s`, `30m`, `24h`, `7d`, `2w`). Raises ValueError.
    """
    duration = value if isinstance(value, timedelta) else _duration_of_text(value)
    if not timedelta(0) <= duration <= LONGEST:
        raise ValueError("must be a duration between 0s and P3650D")
    return duration


def _duration_of_text(value: object) -> timedelta:
    if isinstance(value, str):
        if short := _SHORT.fullmatch(value):
            return timedelta(**{_UNITS[short[2]]: int(short[1])})
        if iso := _ISO.fullmatch(value):
            return timedelta(**{unit: float(count) for unit, count in iso.groupdict().items() if count is not None})
    raise ValueError("must be a duration with its unit, such as 90s, 30m, 24h, 7d, PT1H or P30D")


def duration_text(duration: timedelta) -> str:
    """The duration in ISO 8601 without months and years, which parse_duration reads back."""
    seconds = f"{duration.seconds}.{duration.microseconds:06}".rstrip("0").rstrip(".")
    days = f"{duration.days}D" if duration.days else ""
    return f"P{days}" if days and seconds == "0" else f"P{days}T{seconds}S"


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,254}$")]
Text = Annotated[str, Field(min_length=1)]
MetricName = Annotated[
    Text,
    Field(description="Compared without regard to case and underscores, as Azure spells one metric several ways."),
]
Scalar = str | int | float | bool
Number = Annotated[float, Field(allow_inf_nan=False)]
Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(duration_text, when_used="json"),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^(\d+[smhdw]|P(?=[\dT])(\d+W)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?)$",
            "examples": ["90s", "30m", "24h", "7d", "PT1H", "P30D"],
        }
    ),
]


def _local_moment(value: object) -> datetime:
    if isinstance(value, datetime):
        return value
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is not None:
        raise ValueError("must be a local date, or date and time, that exists, such as 2026-12-24 or 2026-12-24T18:00")
    return moment


LocalMoment = Annotated[
    datetime,
    BeforeValidator(_local_moment),
    PlainSerializer(datetime.isoformat, when_used="json"),
    WithJsonSchema({"type": "string", "examples": ["2026-12-24", "2026-12-24T18:00"]}),
]


class Document(BaseModel):
    """Base of all documents of a policy: frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
