"""One signal held against a limit: the verdict, and how a person is told of it."""

import math
from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from statistics import fmean
from typing import Any, NamedTuple

from anew.core.base.metrics import DETAILS_UNKNOWN, Worse
from anew.core.evidence.signals import Signal
from anew.core.evidence.tree import Node, Verdict

_YES, _NO, _UNKNOWN, _ABOVE = Verdict.YES, Verdict.NO, Verdict.UNKNOWN, Worse.ABOVE  # bound once: looked up often
MOST_SHOWN = 3  # comparisons in one sentence; the node's values hold them all


class Comparison(NamedTuple):
    """One signal, the limit it was held against (None: the monitor's own word counts) and the verdict."""

    signal: Signal
    limit: float | None
    worse: Worse
    verdict: Verdict

    def sentence(self) -> str:
        """The comparison for a person, with where and when the value comes from."""
        signal = self.signal
        origin = f"({signal.source}, {signal.at.date().isoformat()})"
        if signal.metric == DETAILS_UNKNOWN:
            return f"{signal.monitor or 'a monitor'} reported a breach, but no value that can be read {origin}"
        if signal.value is None or not math.isfinite(signal.value):
            return f"{named(signal)} has no value {origin}"
        if self.limit is None:
            said = "is a breach on the monitor's word, no threshold known"
            return f"{named(signal)} {number(signal.value)} {said} {origin}"
        value, limit = numbers(signal.value, self.limit)
        if self.verdict is Verdict.UNKNOWN:
            rows = "" if signal.rows is None else f" of {signal.rows} rows"
            floor = number(signal.noise_floor or 0.0)
            return f"{named(signal)} {value} is within the noise{rows} (up to {floor}), too few for {limit} {origin}"
        fires = "is" if self.verdict is Verdict.YES else "is not"
        return f"{named(signal)} {value} {fires} {self.worse} {limit} {origin}"

    def values(self) -> dict[str, Any]:
        """The comparison as JSON; what is not a finite number is null."""
        signal = self.signal
        return {
            "metric": signal.metric,
            "feature": signal.feature,
            "source": signal.source,
            "monitor": signal.monitor,
            "at": signal.at.isoformat(),
            "value": finite_or_none(signal.value),
            "rows": signal.rows,
            "noise_floor": finite_or_none(signal.noise_floor),
            "breach": str(self.worse),
            "limit": self.limit,
            "verdict": str(self.verdict),
        }


def verdict_of(signal: Signal, limit: float | None, worse: Worse) -> Verdict:
    """The signal held against the limit (None: the monitor's own word counts). A value that is missing, not finite, or
    within its noise is unknown.
    """
    value = signal.value
    if value is None or not isfinite(value):
        return _UNKNOWN
    if limit is None:
        return _YES
    floor = signal.noise_floor
    if worse is _ABOVE:
        # When chance alone reaches the limit, a value that chance can explain says neither yes nor no.
        if floor is not None and value <= floor and floor >= limit:
            return _UNKNOWN
        return _YES if value > limit else _NO
    # The floor of a p-value is the level at which so many readings would not come about by chance.
    if floor is not None and floor <= value < limit:
        return _UNKNOWN
    return _YES if value < limit else _NO


def compare(signal: Signal, limit: float | None, worse: Worse) -> Comparison:
    """The comparison with its verdict."""
    return Comparison(signal, limit, worse, verdict_of(signal, limit, worse))


def node_of(
    rule: str, verdict: Verdict, compared: Callable[[], Sequence[Comparison]], absent: str, asked: Mapping[str, Any]
) -> Node:
    """The node of a rule about signals: it tells of the comparisons that decided, which are made when somebody asks."""
    return Node(
        rule,
        verdict,
        lambda: _told(compared(), verdict) or absent,
        lambda: {**asked, "compared": [each.values() for each in compared()]},
    )


def _told(compared: Sequence[Comparison], verdict: Verdict) -> str:
    deciding = [each for each in compared if each.verdict is verdict] or compared
    more = f"; and {len(deciding) - MOST_SHOWN} more" if len(deciding) > MOST_SHOWN else ""
    return "; ".join(each.sentence() for each in deciding[:MOST_SHOWN]) + more


def named(signal: Signal) -> str:
    """The metric, and the feature if there is one."""
    return signal.metric if signal.feature is None else f"{signal.metric} of {signal.feature}"


def number(value: float) -> str:
    """A short number."""
    return f"{value:.6g}"


def numbers(value: float, limit: float) -> tuple[str, str]:
    """Both short, unless short they would look the same."""
    short = number(value), number(limit)
    return short if value == limit or short[0] != short[1] else (repr(value), repr(limit))


def mean_of(values: Sequence[float]) -> float:
    """The mean of at least one finite number; not a number where they are too large to be added up."""
    try:
        return fmean(values)
    except OverflowError:
        return math.nan


def finite_or_none(value: float | None) -> float | None:
    """The number, None for one that JSON cannot hold."""
    return value if value is not None and math.isfinite(value) else None
