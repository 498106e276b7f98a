"""Looking grows rare with age, is spread out, and never comes after a deadline."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from anew.core.retrainings.polling import LATEST, SOONEST, next_poll

SINCE = datetime(2026, 7, 14, 12, tzinfo=UTC)
FAR = SINCE + timedelta(days=30)


@given(st.timedeltas(timedelta(0), timedelta(days=3)), st.text(max_size=12))
def test_next_look_is_neither_at_once_nor_far_off(age: timedelta, name: str) -> None:
    now = SINCE + age

    wait = next_poll(name, SINCE, FAR, now) - now

    assert SOONEST * 0.8 <= wait <= LATEST * 1.2
    assert wait <= max(age * 0.3, SOONEST * 1.2)


@given(st.timedeltas(timedelta(0), timedelta(days=3)))
def test_next_look_is_not_after_a_deadline_to_come(age: timedelta) -> None:
    deadline = SINCE + timedelta(days=1)
    now = SINCE + age

    look = next_poll("r-1", SINCE, deadline, now)

    assert look > now
    assert look <= deadline or now >= deadline


def test_what_was_launched_together_is_not_looked_at_together() -> None:
    now = SINCE + timedelta(hours=1)

    looks = {next_poll(f"r-{number}", SINCE, FAR, now) for number in range(100)}

    assert len(looks) == 100
    assert max(looks) - min(looks) > timedelta(minutes=4)
