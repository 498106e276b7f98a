"""The history of an endpoint's traffic has no gap, no overlap and one split for each instant."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anew.core.rollouts.traffic import Share, TrafficChange
from anew.core.rollouts.traffic_history import Period, bands, names_in, period_at, periods, split_words

START = datetime(2026, 7, 14, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def change(at: datetime, *shares: tuple[str, int], mirror: tuple[tuple[str, int], ...] = ()) -> TrafficChange:
    def made(pairs: tuple[tuple[str, int], ...]) -> tuple[Share, ...]:
        return tuple(Share(f"price-{version}", percent, f"price:{version}") for version, percent in pairs)

    return TrafficChange(at, "online/price", made(shares), "anew", "why", made(mirror))


@st.composite
def splits(draw: st.DrawFn) -> tuple[tuple[str, int], ...]:
    """No traffic, one version, or two that share it."""
    percent = draw(st.sampled_from([0, 5, 20, 50, 100]))
    if percent == 0:
        return draw(st.sampled_from([(), (("1", 100),)]))
    return (("1", 100 - percent), ("2", percent)) if percent < 100 else (("2", 100),)


CHANGES = st.lists(st.tuples(st.integers(-5, 100), splits()), min_size=1, max_size=20).map(
    lambda made: [
        change(START + index * HOUR + minutes * HOUR / 20, *split) for index, (minutes, split) in enumerate(made)
    ]
)  # some clocks are behind, some changes come at once
MOMENTS = st.integers(-200, 3000).map(lambda minutes: START + timedelta(minutes=minutes))


@given(CHANGES)
def test_periods_have_no_gap(changes: list[TrafficChange]) -> None:
    """Periods follow each other without gap or overlap."""
    line = periods(changes)

    assert line[0].since == changes[0].at
    assert line[-1].until is None
    assert all(before.until == after.since for before, after in pairwise(line))
    assert all(each.until is None or each.since < each.until for each in line)


@given(CHANGES, MOMENTS)
def test_instant_has_one_period(changes: list[TrafficChange], moment: datetime) -> None:
    """Every instant has one period, and none before the first change."""
    line = periods(changes)
    covering = [each for each in line if each.covers(moment)]

    assert len(covering) == (moment >= changes[0].at)
    assert period_at(line, moment) == (covering[0] if covering else None)


@given(CHANGES, MOMENTS)
def test_shares_sum_to_all(changes: list[TrafficChange], moment: datetime) -> None:
    """The shares of an instant sum to all traffic or none."""
    found = period_at(periods(changes), moment)

    assert found is None or sum(share.percent for share in found.change.shares) in {0, 100}


@given(CHANGES)
def test_newest_change_holds_now(changes: list[TrafficChange]) -> None:
    """The change recorded last holds now, even if its clock was behind."""
    assert periods(changes)[-1].change == changes[-1]


@given(CHANGES, st.integers(1, 60))
def test_bands_add_up(changes: list[TrafficChange], columns: int) -> None:
    """The shares of a column add up to all its traffic."""
    always = [each for each in changes if each.shares] or [change(START, ("1", 100))]
    line = periods(always)
    until = line[-1].since + HOUR

    drawn = bands(line, until, columns)

    assert set(drawn) == set(names_in(line))
    for index in range(columns):
        assert sum(cells[index].live for cells in drawn.values()) == pytest.approx(100, abs=1e-3)


def test_band_is_mean_of_column() -> None:
    """A cell has the mean share over its column."""
    line = periods([change(START, ("1", 100)), change(START + HOUR, ("1", 80), ("2", 20), mirror=(("3", 10),))])

    drawn = bands(line, START + 4 * HOUR, 2)

    assert [cell.live for cell in drawn["price:2"]] == pytest.approx([10, 20])
    assert [cell.live for cell in drawn["price:1"]] == pytest.approx([90, 80])
    assert [cell.mirrored for cell in drawn["price:3"]] == pytest.approx([5, 10])


def test_no_changes_no_periods() -> None:
    """Without changes there are no periods."""
    assert periods([]) == ()
    assert period_at((), START) is None
    assert bands((), START, 10) == {}


def test_later_change_of_instant_wins() -> None:
    """Of two changes at the same instant the later one holds."""
    first, second = change(START, ("1", 100)), change(START, ("2", 100))

    assert periods([first, second]) == (Period(second, START, None),)


def test_words_include_mirrored_shares() -> None:
    """The words of a split name live and mirrored shares."""
    assert split_words(change(START, ("1", 80), ("2", 20))) == "price:1 80 %, price:2 20 %"
    assert split_words(change(START, ("1", 100), mirror=(("2", 20),))) == "price:1 100 %, price:2 mirrored 20 %"
    assert split_words(change(START)) == "no traffic"
    assert split_words(TrafficChange(START, "e", (Share("blue", 100, None),), "a", "w")) == "blue 100 %"
