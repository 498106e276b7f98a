"""Polls grow rare with age, are spread out, and never come after a deadline."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from anew.core.retrainings.polling import LATEST, SOONEST, next_poll

SINCE = datetime(2026, 7, 14, 12, tzinfo=UTC)
FAR = SINCE + timedelta(days=30)


@given(st.timedeltas(timedelta(0), timedelta(days=3)), st.text(max_size=12))
def test_next_poll_is_near(age: timedelta, name: str) -> None:
    """The wait for the next poll stays within its bounds and is short for a recent retraining."""
    now = SINCE + age

    wait = next_poll(name, SINCE, FAR, now) - now

    assert SOONEST * 0.8 <= wait <= LATEST * 1.2
    assert wait <= max(age * 0.3, SOONEST * 1.2)


@given(st.timedeltas(timedelta(0), timedelta(days=3)))
def test_poll_respects_deadline(age: timedelta) -> None:
    """The next poll is not after the deadline while the deadline is ahead."""
    deadline = SINCE + timedelta(days=1)
    now = SINCE + age

    poll = next_poll("r-1", SINCE, deadline, now)

    assert poll > now
    assert poll <= deadline or now >= deadline


def test_polls_are_spread() -> None:
    """Retrainings that were launched together are not polled together."""
    now = SINCE + timedelta(hours=1)

    polls = {next_poll(f"r-{number}", SINCE, FAR, now) for number in range(100)}

    assert len(polls) == 100
    assert max(polls) - min(polls) > timedelta(minutes=4)
