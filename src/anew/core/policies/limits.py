"""Limits that hold a retraining back although the rules fire: cooldown, counts, budget, freezes."""

import re
from datetime import datetime, time, timedelta
from functools import lru_cache
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from anew.core.base.document import Document, Duration, LocalMoment, Text

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MIDNIGHT = "24:00"
_CLOCK = re.compile(r"\d\d:\d\d", re.ASCII)


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _known_zone(value: object) -> object:
    if isinstance(value, str) and value not in _zones():
        raise ValueError(f"'{value[:60]}' is no time zone; use a name such as UTC or Europe/Stockholm")
    return value


def _clock(value: object) -> time:
    if isinstance(value, time):
        return value
    try:
        if value == _MIDNIGHT:
            return time(0)
        if isinstance(value, str) and _CLOCK.fullmatch(value):
            return time.fromisoformat(value)
    except ValueError:
        pass
    raise ValueError("must be a time of day in quotes, such as '08:00' or '24:00'")


TimeZone = Annotated[str, BeforeValidator(_known_zone)]
Clock = Annotated[
    time,
    BeforeValidator(_clock),
    PlainSerializer(lambda value: value.strftime("%H:%M"), when_used="json"),
    WithJsonSchema({"type": "string", "pattern": r"^\d\d:\d\d$", "examples": ["08:00", "24:00"]}),
]


class FreezeDates(Document):
    """No retraining between two moments, such as over the end of the year."""

    kind: Literal["dates"]
    from_: LocalMoment = Field(alias="from")
    to: LocalMoment = Field(description="Not included.")
    timezone: TimeZone
    reason: Text

    @model_validator(mode="after")
    def _runs_forward(self) -> "FreezeDates":
        if self.to <= self.from_:
            raise ValueError("'to' must be later than 'from'")
        return self

    def holds(self, now: datetime) -> bool:
        """Whether the freeze is on at this (aware) moment."""
        zone = ZoneInfo(self.timezone)
        return self.from_.replace(tzinfo=zone) <= now < self.to.replace(tzinfo=zone)


class FreezeWeekly(Document):
    """No retraining at certain hours of certain days. With `to` at or before `from` it lasts into the next day."""

    kind: Literal["weekly"]
    days: tuple[Weekday, ...] = Field(min_length=1, description="On which it begins.")
    from_: Clock = Field(alias="from", default=time(0))
    to: Clock = Field(default=time(0), description="Not included; '24:00' is the day's end.")
    timezone: TimeZone
    reason: Text

    def holds(self, now: datetime) -> bool:
        """Whether the freeze is on at this (aware) moment, by the local time there."""
        local = now.astimezone(ZoneInfo(self.timezone))
        clock, today = local.time(), WEEKDAYS[local.weekday()]
        yesterday = WEEKDAYS[local.weekday() - 1]
        if self.from_ < self.to:
            return today in self.days and self.from_ <= clock < self.to
        return (today in self.days and clock >= self.from_) or (yesterday in self.days and clock < self.to)


Freeze = Annotated[FreezeDates | FreezeWeekly, Field(discriminator="kind")]


class MaxRetrainings(Document):
    """At most so many retrainings of the model within a window."""

    count: int = Field(ge=1)
    window: Duration


class Budget(Document):
    """At most so much money, or compute, for the model within a window. It fails closed: a retraining whose charge was
    not recorded uses it up.
    """

    unit: Text = Field(description="A word for people, such as EUR or compute-hours.")
    limit: float = Field(gt=0, allow_inf_nan=False)
    window: Duration
    per_retraining: float = Field(gt=0, allow_inf_nan=False, description="What one retraining is charged with.")

    @model_validator(mode="after")
    def _allows_one(self) -> "Budget":
        if self.per_retraining > self.limit:
            raise ValueError(
                f"'per_retraining' {self.per_retraining:g} is over 'limit' {self.limit:g}: none could start"
            )
        return self


class Limits(Document):
    """Limits that hold a retraining back although the rules fire."""

    cooldown: Duration = Field(
        default=timedelta(hours=24),
        description="Least time between two retrainings of the model.",
    )
    backoff_after_rejection: float = Field(
        default=1.0,
        ge=1,
        le=10,
        description="The cooldown is multiplied by this for each rejected candidate since the last that passed.",
    )
    max_retrainings: MaxRetrainings | None = None
    budget: Budget | None = None
    freeze: tuple[Freeze, ...] = ()
    in_flight: Literal["hold", "queue", "supersede"] = Field(
        default="hold",
        description="New drift while a retraining of the model is under way: hold decides at once not to retrain, queue"
        " waits until that one has ended, supersede cancels that one and trains anew (at most three times in a row).",
    )
    prefer_rollback: Duration | None = Field(
        default=None,
        description="Drift within this time after a release of the model took all traffic rolls back to the version"
        " before it, once, instead of training another.",
    )
    max_concurrent: int | None = Field(
        default=None, ge=1, description="Retrainings under way at once, of all models; of one model it is always 1."
    )
