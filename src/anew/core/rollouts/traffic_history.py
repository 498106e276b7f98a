"""Which version had what share of an endpoint's traffic at which time, from the recorded changes. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate

from anew.core.rollouts.traffic import Share, TrafficChange


@dataclass(frozen=True, slots=True)
class Period:
    """The shares from `since` (inclusive) to `until` (exclusive); `until` is None while they still hold."""

    change: TrafficChange
    since: datetime
    until: datetime | None

    def covers(self, moment: datetime) -> bool:
        """Whether these shares held at this moment."""
        return self.since <= moment and (self.until is None or moment < self.until)


def periods(changes: Sequence[TrafficChange]) -> tuple[Period, ...]:
    """The periods of one endpoint, without gap or overlap, from its changes in the order they were recorded.

    A change never begins before the one recorded earlier, even if its clock was behind. A change that was replaced at
    the same instant has no period.
    """
    starts = list(accumulate((change.at for change in changes), max))
    ends: list[datetime | None] = [*starts[1:], None]
    spans = zip(changes, starts, ends, strict=False)  # without changes there is one end too many
    return tuple(Period(change, since, until) for change, since, until in spans if since != until)


def period_at(line: Sequence[Period], moment: datetime) -> Period | None:
    """The period that covers this moment; None before the first."""
    return next((period for period in reversed(line) if period.since <= moment), None)


def name_of(share: Share) -> str:
    """The name of a share: its `model:version`, or its deployment when the model is unknown."""
    return share.model or share.deployment


def names_in(line: Iterable[Period]) -> tuple[str, ...]:
    """The names of all shares, live or mirrored, in the order of their first traffic."""
    shares = (share for period in line for share in (*period.change.shares, *period.change.mirror))
    return tuple(dict.fromkeys(name_of(share) for share in shares))


def split_words(change: TrafficChange) -> str:
    """The shares in words, such as `elec2:2 80 %, elec2:3 20 %`."""
    live = [f"{name_of(share)} {share.percent} %" for share in change.shares]
    copies = [f"{name_of(share)} mirrored {share.percent} %" for share in change.mirror]
    return ", ".join((*live, *copies)) or "no traffic"


# --- a chart ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cell:
    """The mean live and mirrored share of one name in one column of a chart, in percent."""

    live: float
    mirrored: float


def bands(line: Sequence[Period], until: datetime, columns: int) -> Mapping[str, tuple[Cell, ...]]:
    """The mean shares by name, from the first period to `until`, in columns of equal length."""
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
    end = since + width
    for period in line:
        part = (min(period.until or end, end) - max(period.since, since)) / width
        if part <= 0:
            continue
        for sums, shares in ((live, period.change.shares), (mirrored, period.change.mirror)):
            for share in shares:
                sums[name_of(share)] = sums.get(name_of(share), 0.0) + share.percent * part
    return {name: Cell(live.get(name, 0.0), mirrored.get(name, 0.0)) for name in {**live, **mirrored}}
