"""One signal held against a limit: the verdict, and the sentence that says so."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

from anew.core.base.metrics import DETAILS_UNKNOWN, Worse
from anew.core.evidence.signals import Signal
from anew.core.evidence.tree import Node, Verdict, any_of

MOST_SHOWN = 3  # comparisons in one sentence; the node's values hold them all


class Comparison(NamedTuple):
    """One signal, the limit it was held against (None: the monitor said that it is a breach) and the verdict."""

    signal: Signal
    limit: float | None
    worse: Worse
    verdict: Verdict

    def sentence(self) -> str:
        """The comparison for a person, with the source and day of the value."""
        signal = self.signal
        origin = f"({signal.source}, {signal.at.date().isoformat()})"
        if signal.metric == DETAILS_UNKNOWN:
            return f"{signal.monitor or 'a monitor'} reported a breach, but no value that can be read {origin}"
        if signal.value is None or not math.isfinite(signal.value):
            return f"{named(signal)} has no value {origin}"
        if self.limit is None:
            breach = "is a breach according to the monitor, its threshold is not known"
            return f"{named(signal)} {number(signal.value)} {breach} {origin}"
        value, limit = numbers(signal.value, self.limit)
        if self.verdict is Verdict.UNKNOWN:
            rows = "" if signal.rows is None else f" of {signal.rows} rows"
            floor = number(signal.noise_floor or 0.0)
            return f"{named(signal)} {value} is within the noise{rows} (up to {floor}), too few for {limit} {origin}"
        fires = "is" if self.verdict is Verdict.YES else "is not"
        return f"{named(signal)} {value} {fires} {self.worse} {limit} {origin}"

    def values(self) -> dict[str, Any]:
        """The comparison as JSON; a value that is not a finite number is null."""
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


def compare(signal: Signal, limit: float | None, worse: Worse) -> Comparison:
    """The signal held against the limit; without a limit, the signal is a breach because the monitor said so.

    A value that is missing, not finite, or within its noise is unknown.
    """
    value, floor = signal.value, signal.noise_floor
    if value is None or not math.isfinite(value):
        verdict = Verdict.UNKNOWN
    elif limit is None:
        verdict = Verdict.YES
    elif worse is Worse.ABOVE:
        # When chance alone reaches the limit, a value that chance can explain says neither yes nor no.
        noise = floor is not None and value <= floor and floor >= limit
        verdict = Verdict.UNKNOWN if noise else Verdict.YES if value > limit else Verdict.NO
    else:
        # The floor of a p-value is the level that this many readings do not reach by chance.
        noise = floor is not None and floor <= value < limit
        verdict = Verdict.UNKNOWN if noise else Verdict.YES if value < limit else Verdict.NO
    return Comparison(signal, limit, worse, verdict)


def node_of(rule: str, compared: Sequence[Comparison], absent: str, asked: Mapping[str, Any]) -> Node:
    """The node of a rule that fires when any of these comparisons does; its sentence shows those that decided.

    Without comparisons it is unknown, and its sentence is *absent*.
    """
    verdict = any_of(each.verdict for each in compared) if compared else Verdict.UNKNOWN
    deciding = [each for each in compared if each.verdict is verdict]
    more = f"; and {len(deciding) - MOST_SHOWN} more" if len(deciding) > MOST_SHOWN else ""
    sentence = "; ".join(each.sentence() for each in deciding[:MOST_SHOWN]) + more
    return Node(rule, verdict, sentence or absent, {**asked, "compared": [each.values() for each in compared]})


def named(signal: Signal) -> str:
    """The metric, and the feature if there is one."""
    return signal.metric if signal.feature is None else f"{signal.metric} of {signal.feature}"


def number(value: float) -> str:
    """A short number."""
    return f"{value:.6g}"


def numbers(value: float, limit: float) -> tuple[str, str]:
    """Both short, unless their short forms are the same text."""
    short = number(value), number(limit)
    return short if value == limit or short[0] != short[1] else (repr(value), repr(limit))


def mean_of(values: Sequence[float]) -> float:
    """The mean of at least one finite number; not a number where they are too large to be added up."""
    try:
        return fmean(values)
    except OverflowError:
        return math.nan


def finite_or_none(value: float | None) -> float | None:
    """The number; None for one that JSON cannot hold."""
    return value if value is not None and math.isfinite(value) else None
