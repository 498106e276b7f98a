"""Limits one by one: cooldown with back-off, counts, budget, and freezes by the clock on the wall."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from anew.core.decisions.limits import cooldown_of, judge_hard_limits, judge_limits
from anew.core.evidence.history import Attempt, AttemptState, History
from anew.core.evidence.tree import Node, Verdict
from anew.core.policies.limits import FreezeDates, FreezeWeekly, Limits
from tests.core.rules.samples import BUDGET, DAY, HOUR, NOW, history

STOCKHOLM = ZoneInfo("Europe/Stockholm")
OPEN, REGISTERED, REJECTED, FAILED = (
    AttemptState.OPEN,
    AttemptState.REGISTERED,
    AttemptState.REJECTED,
    AttemptState.FAILED,
)


def limits(**keys: Any) -> Limits:
    return Limits.model_validate({"cooldown": "0s", **keys})


def node(of: Limits, known: History, name: str, now: datetime = NOW) -> Node:
    return next(
        each for each in (*judge_limits(of, known, now), *judge_hard_limits(of, known, now)) if each.rule == name
    )


def passes(of: Limits, known: History, name: str, now: datetime = NOW) -> bool:
    verdict = node(of, known, name, now).verdict
    assert verdict in (Verdict.YES, Verdict.NO), "a limit always knows"
    return verdict is Verdict.YES


# --- cooldown and its back-off ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("states", "times"),
    [
        ((), 1),
        ((REGISTERED,), 1),
        ((REJECTED,), 2),
        ((REJECTED, REJECTED), 4),
        ((REJECTED, REGISTERED, REJECTED, REJECTED), 2),
        ((REGISTERED, REJECTED, REJECTED), 1),
        ((FAILED, REJECTED), 2),
        ((FAILED, FAILED), 1),
        ((OPEN, REJECTED), 2),
    ],
)
def test_rejections_lengthen_cooldown(states: tuple[AttemptState, ...], times: int) -> None:
    """Each rejected candidate lengthens the cooldown until one passes."""
    doubled = limits(cooldown="24h", backoff_after_rejection=2)
    assert cooldown_of(doubled, history(*states)) == timedelta(hours=24 * times)
    assert cooldown_of(limits(cooldown="24h"), history(*states)) == timedelta(hours=24)


def test_cooldown_ends_to_the_second() -> None:
    """A cooldown ends to the second and says when, and why it is longer."""
    doubled = limits(cooldown="1h", backoff_after_rejection=2)
    rejected = history(REJECTED)
    assert not passes(doubled, rejected, "cooldown", NOW + 2 * HOUR - timedelta(seconds=1))
    assert passes(doubled, rejected, "cooldown", NOW + 2 * HOUR)
    said = node(doubled, rejected, "cooldown").sentence
    assert said.startswith("the cooldown of 2:00:00, made longer than 1:00:00 by rejected candidates, lasts until 2026")


def test_no_cooldown_without_retraining() -> None:
    """A model that was never retrained has no cooldown."""
    assert passes(limits(cooldown="P3650D"), History(), "cooldown")


@given(st.timedeltas(timedelta(0), timedelta(days=3650)), st.floats(1, 10), st.integers(0, 1000))
def test_back_off_stays_in_bounds(cooldown: timedelta, factor: float, rejections: int) -> None:
    """Back-off never shortens the cooldown and lengthens it to at most a year."""
    length = cooldown_of(limits(cooldown=cooldown, backoff_after_rejection=factor), history(*[REJECTED] * rejections))
    assert cooldown <= length <= max(cooldown, timedelta(days=365))


# --- how many ---------------------------------------------------------------------------------------------


def test_retrainings_per_window_are_limited() -> None:
    """Only so many retrainings start within a window."""
    two_a_week = limits(max_retrainings={"count": 2, "window": "7d"})
    assert passes(two_a_week, history(REGISTERED), "max_retrainings")
    assert not passes(two_a_week, history(REGISTERED, FAILED), "max_retrainings")
    assert passes(two_a_week, history(REGISTERED, FAILED, every=7 * DAY), "max_retrainings")
    assert not passes(two_a_week, history(REGISTERED, FAILED, every=7 * DAY - HOUR), "max_retrainings")


def test_one_retraining_per_model() -> None:
    """A model has one retraining at a time, whatever `max_concurrent` says."""
    assert not passes(limits(max_concurrent=9), history(REGISTERED, OPEN), "in_flight")
    assert "r1 is still under way" in node(limits(), history(REGISTERED, OPEN), "in_flight").sentence


@pytest.mark.parametrize(("elsewhere", "expected"), [(0, True), (1, True), (2, False), (9, False)])
def test_other_models_count_as_concurrent(elsewhere: int, expected: bool) -> None:
    """Retrainings of other models count towards `max_concurrent`."""
    assert passes(limits(max_concurrent=2), History((), elsewhere), "max_concurrent") is expected


# --- budget -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "expected"), [(0, True), (2, True), (3, False)])
def test_retraining_must_fit_budget(count: int, expected: bool) -> None:
    """A retraining must fit into what is left of the budget."""
    assert passes(limits(budget=BUDGET), history(*[REGISTERED] * count, charge=3), "budget") is expected


def test_unsuccessful_retrainings_use_budget() -> None:
    """Failed and rejected retrainings use the budget as much as others."""
    assert not passes(limits(budget=BUDGET), history(FAILED, REJECTED, FAILED, charge=3), "budget")


def test_spending_before_window_expires() -> None:
    """Spending before the window no longer counts."""
    assert passes(limits(budget=BUDGET), history(*[REGISTERED] * 3, every=30 * DAY, charge=3), "budget")


@pytest.mark.parametrize("charge", [None, float("nan"), float("inf")])
def test_unknown_charge_uses_budget_up(charge: float | None) -> None:
    """A charge that is unknown or not finite uses the budget up."""
    assert not passes(limits(budget=BUDGET), history(REGISTERED, charge=charge), "budget")


def test_unknown_charge_is_named() -> None:
    """An unknown charge is named, and expires with its window."""
    assert "what r0 cost is not known" in node(limits(budget=BUDGET), history(FAILED, charge=None), "budget").sentence
    old = History((Attempt("old", NOW - 31 * DAY, REGISTERED, None),))
    assert passes(limits(budget=BUDGET), old, "budget")


@pytest.mark.parametrize("price", [0.1, 0.7, 1.1, 33.3])
@pytest.mark.parametrize("count", [1, 3, 10, 100])
def test_budget_of_n_prices_allows_n(price: float, count: int) -> None:
    """A budget of n times the price is enough for exactly n retrainings."""
    money = {"unit": "EUR", "limit": float(f"{price * count:.4f}"), "window": "365d", "per_retraining": price}
    assert passes(limits(budget=money), history(*[REGISTERED] * (count - 1), charge=price), "budget")
    assert not passes(limits(budget=money), history(*[REGISTERED] * count, charge=price), "budget")


# --- freezes ----------------------------------------------------------------------------------------------


def weekly(days: str = "fri", begin: str = "18:00", end: str = "06:00", zone: str = "Europe/Stockholm") -> FreezeWeekly:
    document = {"kind": "weekly", "days": days.split(), "from": begin, "to": end, "timezone": zone, "reason": "weekend"}
    return FreezeWeekly.model_validate(document)


def dates(begin: str, end: str, zone: str = "Europe/Stockholm") -> FreezeDates:
    return FreezeDates.model_validate(
        {"kind": "dates", "from": begin, "to": end, "timezone": zone, "reason": "end of the year"}
    )


def local(text: str, fold: int = 0) -> datetime:
    """A moment by the clock on the wall in Stockholm, as UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=STOCKHOLM, fold=fold).astimezone(UTC)


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026-07-17T17:59:59", False),  # Friday
        ("2026-07-17T18:00", True),
        ("2026-07-17T23:59:59", True),
        ("2026-07-18T00:00", True),
        ("2026-07-18T05:59:59", True),
        ("2026-07-18T06:00", False),
        ("2026-07-18T18:00", False),
        ("2026-07-17T05:00", False),  # the Thursday before is not in it
    ],
)
def test_weekly_freeze_crosses_midnight(moment: str, expected: bool) -> None:
    """A weekly freeze over midnight lasts into the next day."""
    assert weekly().holds(local(moment)) is expected


def test_sunday_freeze_lasts_into_monday() -> None:
    """A weekly freeze that begins on Sunday lasts into Monday."""
    sunday = weekly("sun", "22:00", "02:00")
    assert sunday.holds(local("2026-07-20T01:59"))
    assert not sunday.holds(local("2026-07-20T02:00"))
    assert not sunday.holds(local("2026-07-19T01:59"))


def test_weekly_freeze_of_whole_days() -> None:
    """A weekly freeze of whole days covers all of them and no more."""
    for weekend in (
        weekly("sat sun", "00:00", "24:00"),
        FreezeWeekly.model_validate(
            {"kind": "weekly", "days": ["sat", "sun"], "timezone": "Europe/Stockholm", "reason": "weekend"}
        ),
    ):
        held = [weekend.holds(local(f"2026-07-{day}T{clock}")) for day in range(17, 21) for clock in ("00:00", "23:59")]
        assert held == [False, False, True, True, True, True, False, False]


def test_freeze_uses_its_time_zone() -> None:
    """A freeze goes by its own time zone."""
    moment = datetime(2026, 7, 17, 16, 30, tzinfo=UTC)
    assert weekly().holds(moment)
    assert not weekly(zone="UTC").holds(moment)
    assert not weekly(zone="America/New_York").holds(moment)


@pytest.mark.parametrize(
    ("day", "hours"), [("2026-03-29", 3), ("2026-10-25", 5), ("2026-06-28", 4)], ids=["spring", "autumn", "summer"]
)
def test_weekly_freeze_across_dst(day: str, hours: int) -> None:
    """A weekly freeze follows the local clock when daylight saving time begins or ends."""
    night = weekly("sun", "00:00", "04:00")
    first = local(f"{day}T00:00")
    held = [night.holds(first + timedelta(minutes=minute)) for minute in range(0, 8 * 60, 10)]
    assert held == [True] * (6 * hours) + [False] * (48 - 6 * hours)


def test_repeated_and_skipped_hour() -> None:
    """The hour that occurs twice is frozen twice, and the skipped hour never."""
    one_hour = weekly("sun", "02:00", "03:00")
    assert one_hour.holds(local("2026-10-25T02:30", fold=0))
    assert one_hour.holds(local("2026-10-25T02:30", fold=1))
    assert not any(one_hour.holds(local("2026-03-29T00:00") + timedelta(minutes=m)) for m in range(0, 24 * 60, 5))


@given(st.integers(0, 2 * 365 * 24 * 60), st.integers(0, 23), st.integers(0, 23))
def test_daily_freeze_depends_on_clock(minutes: int, begin: int, end: int) -> None:
    """A weekly freeze of every day depends only on the local time of day."""
    now = NOW + timedelta(minutes=minutes)
    clock = now.astimezone(STOCKHOLM).hour
    expected = begin <= clock < end if begin < end else clock >= begin or clock < end
    every_day = weekly("mon tue wed thu fri sat sun", f"{begin:02}:00", f"{end:02}:00")
    assert every_day.holds(now) is expected


def test_freeze_dates_exclude_their_end() -> None:
    """A freeze by dates lasts from its first moment to just before its end."""
    holidays = dates("2026-12-24", "2027-01-02")
    assert not holidays.holds(local("2026-12-23T23:59:59"))
    assert holidays.holds(local("2026-12-24T00:00"))
    assert holidays.holds(local("2027-01-01T23:59:59"))
    assert not holidays.holds(local("2027-01-02T00:00"))
    assert not holidays.holds(datetime(2026, 12, 23, 22, 59, tzinfo=UTC))
    assert holidays.holds(datetime(2026, 12, 23, 23, 0, tzinfo=UTC))


def test_freeze_dates_across_dst() -> None:
    """A day frozen by dates lasts 23 or 25 hours when the clock changes."""
    for day, hours in (("2026-03-29", 23), ("2026-10-25", 25)):
        whole = dates(day, (date.fromisoformat(day) + DAY).isoformat())
        first = local(f"{day}T00:00")
        assert sum(whole.holds(first + timedelta(hours=hour)) for hour in range(-5, 40)) == hours


def test_freeze_dates_at_calendar_ends() -> None:
    """A freeze from the first to the last date of the calendar works."""
    assert dates("0001-01-01", "9999-12-31T23:59").holds(NOW)


@pytest.mark.parametrize(
    "clock", ["1030Z", "10+01", "T1030", "1:30", "10:60", "25:00", "24:01", "\u0661\u0660:\u0663\u0660", "10:30 ", ""]
)
def test_invalid_time_of_day_is_refused(clock: str) -> None:
    """A time of day that is not hours and minutes is refused."""
    with pytest.raises(ValidationError, match="must be a time of day in quotes"):
        weekly(begin=clock)


def test_freeze_survives_json() -> None:
    """A freeze survives its own JSON."""
    frozen = limits(
        freeze=[weekly().model_dump(by_alias=True), dates("2026-12-24", "2027-01-02T12:00").model_dump(by_alias=True)]
    )
    assert Limits.model_validate_json(frozen.model_dump_json(by_alias=True), strict=True) == frozen
