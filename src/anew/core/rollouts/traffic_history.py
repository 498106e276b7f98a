"""Which version served what share of an endpoint's traffic at which moment, from the changes that were kept. Pure."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from anew.core.rollouts.traffic import Share, TrafficChange


@dataclass(frozen=True, slots=True)
class Period:
    """What held from `since`, included, to `until`, not included; None means that it still holds."""

    change: TrafficChange
    since: datetime
    until: datetime | None

    def covers(self, moment: datetime) -> bool:
        """Whether this is what held at the moment."""
        return self.since <= moment and (self.until is None or moment < self.until)


def periods(changes: Sequence[TrafficChange]) -> tuple[Period, ...]:
    """The time line of one endpoint, without gap or overlap, from changes in the order they were recorded.

    A change recorded after another never holds before it, though its clock may have been behind; one that was replaced
    in the same instant never held.
    """
    starts: list[datetime] = []
    for change in changes:
        starts.append(max(change.at, starts[-1]) if starts else change.at)
    ends: list[datetime | None] = [*starts[1:], None]
    return tuple(
        Period(change, since, until)
        for change, since, until in zip(changes, starts, ends[: len(starts)], strict=True)
        if since != until
    )


def period_at(line: Sequence[Period], moment: datetime) -> Period | None:
    """What held at this moment; None before anything is known."""
    index = bisect_right(line, moment, key=lambda period: period.since)
    return line[index - 1] if index else None


def name_of(share: Share) -> str:
    """Whom a share went to: `model:version`, or the deployment where nobody knows its model."""
    return share.model or share.deployment


def names_in(line: Iterable[Period]) -> tuple[str, ...]:
    """Everybody who got live or mirrored traffic, in the order they first did."""
    shares = (share for period in line for share in (*period.change.shares, *period.change.mirror))
    return tuple(dict.fromkeys(name_of(share) for share in shares))


def split_words(change: TrafficChange) -> str:
    """The split for a person, such as `elec2:2 80 %, elec2:3 20 %`."""
    live = [f"{name_of(share)} {share.percent} %" for share in change.shares]
    copies = [f"{name_of(share)} mirrored {share.percent} %" for share in change.mirror]
    return ", ".join((*live, *copies)) or "no traffic"


# --- a picture --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cell:
    """The mean share of one name in one column of a picture, in percent, live and mirrored."""

    live: float
    mirrored: float


def bands(line: Sequence[Period], until: datetime, columns: int) -> Mapping[str, tuple[Cell, ...]]:
    """By name, the mean shares over the time from the first period to `until`, cut into columns of the same length."""
    if not line or columns < 1:
        return {}
    first = line[0].since
    width = max((until - first) / columns, timedelta(microseconds=1))
    names = names_in(line)
    drawn = [_means(line, first + width * index, width) for index in range(columns)]
    return {name: tuple(column.get(name, Cell(0, 0)) for column in drawn) for name in names}


def _means(line: Sequence[Period], since: datetime, width: timedelta) -> dict[str, Cell]:
    live: dict[str, float] = {}
    mirrored: dict[str, float] = {}
    for period in _overlapping(line, since, since + width):
        part = (min(period.until or since + width, since + width) - max(period.since, since)) / width
        for sums, shares in ((live, period.change.shares), (mirrored, period.change.mirror)):
            for share in shares:
                sums[name_of(share)] = sums.get(name_of(share), 0.0) + share.percent * part
    return {name: Cell(live.get(name, 0.0), mirrored.get(name, 0.0)) for name in {**live, **mirrored}}


def _overlapping(line: Sequence[Period], since: datetime, until: datetime) -> Sequence[Period]:
    first = max(bisect_right(line, since, key=lambda period: period.since) - 1, 0)
    last = bisect_right(line, until, key=lambda period: period.since)
    return [each for each in line[first:last] if each.since < until and (each.until is None or each.until > since)]
