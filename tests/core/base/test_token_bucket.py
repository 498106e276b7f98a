"""A bucket gives its burst and its refill, and never more."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from anew.core.base.token_bucket import Level, TokenBucket, take

NOW = datetime(2026, 7, 14, 12, tzinfo=UTC)
LIMIT = TokenBucket(burst=10, per_second=2)


def test_new_bucket_gives_its_burst() -> None:
    """A new bucket gives its burst at once, then says how long to wait."""
    level, wait = take(LIMIT, None, 10, NOW)
    assert (level.tokens, wait) == (0, timedelta(0))

    assert take(LIMIT, level, 1, NOW)[1] == timedelta(seconds=0.5)


def test_refused_request_takes_no_tokens() -> None:
    """A refused request takes no tokens."""
    level, _ = take(LIMIT, None, 9, NOW)

    refused, wait = take(LIMIT, level, 5, NOW)

    assert wait == timedelta(seconds=2)
    assert refused.tokens == 1


def test_paused_bucket_gives_nothing() -> None:
    """A paused bucket gives no tokens until its pause ends."""
    paused = Level(10, NOW, paused_until=NOW + timedelta(seconds=30))

    assert take(LIMIT, paused, 1, NOW)[1] == timedelta(seconds=30)
    assert take(LIMIT, paused, 1, NOW + timedelta(seconds=30))[1] == timedelta(0)


def test_clock_set_back() -> None:
    """A clock set back neither fills nor starves the bucket."""
    level, _ = take(LIMIT, None, 10, NOW)
    earlier = NOW - timedelta(hours=1)

    level, wait = take(LIMIT, level, 1, earlier)
    assert wait > timedelta(0)

    assert take(LIMIT, level, 1, earlier + wait)[1] == timedelta(0)


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0.1, 10)), max_size=40))
def test_never_exceeds_burst_and_refill(asked: list[tuple[float, float]]) -> None:
    """Over any stretch of time the bucket gives no more than its burst and its refill."""
    level, now, given_ = None, NOW, 0.0
    for pause, count in asked:
        now += timedelta(seconds=pause)
        level, wait = take(LIMIT, level, count, now)
        given_ += count if not wait else 0
    assert given_ <= LIMIT.burst + LIMIT.per_second * (now - NOW).total_seconds() + 1e-3
