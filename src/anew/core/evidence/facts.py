"""The evidence of one decision, arranged for rules: signals by metric, in the order of time."""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import NamedTuple

from anew.core.base.metrics import canonical_metric
from anew.core.evidence.history import History
from anew.core.evidence.signals import Signal

Series = tuple[str | None, str, str | None]


class Facts(NamedTuple):
    """The evidence a rule is judged on. Signals that are too old or have too few rows are already left out."""

    history: History
    now: datetime
    by_metric: Mapping[str, Sequence[Signal]]

    @property
    def signals(self) -> Iterable[Signal]:
        """All of them, metric by metric."""
        return (signal for signals in self.by_metric.values() for signal in signals)

    def newest(self, metric: str) -> Sequence[Signal]:
        """The signals of a metric (canonical name), only the newest instant of each series."""
        signals = self.by_metric.get(metric, ())
        return signals if len(signals) < 2 else newest_of(signals)

    def readings(self, metric: str, feature: str | None = None) -> dict[Series, list[Signal]]:
        """The readings of a metric since the newest version was trained, series by series, oldest first. Earlier
        readings are about another model; a retraining that failed or was rejected changed nothing.
        """
        since = self.history.model_since
        series: dict[Series, list[Signal]] = {}
        for signal in self.by_metric.get(metric, ()):
            if (since is None or signal.at > since) and (feature is None or signal.feature == feature):
                series.setdefault(series_of(signal), []).append(signal)
        return series

    def measured(self, metric: str, feature: str | None = None) -> list[list[tuple[Signal, float]]]:
        """The readings that have a finite value, with it, series by series; a series without any is left out."""
        finite = (
            [(each, each.value) for each in series if each.value is not None and math.isfinite(each.value)]
            for series in self.readings(metric, feature).values()
        )
        return [readings for readings in finite if readings]


def arrange(signals: Iterable[Signal], history: History, now: datetime) -> Facts:
    """The facts of these signals."""
    by_metric: dict[str, list[Signal]] = {}
    for signal in signals:
        by_metric.setdefault(canonical_metric(signal.metric), []).append(signal)
    for known in by_metric.values():
        if len(known) > 1:
            known.sort(key=attrgetter("at"))
    return Facts(history, now, by_metric)


def series_of(signal: Signal) -> Series:
    """The series of its metric that a signal belongs to: feature, source and monitor."""
    return signal.feature, signal.source, signal.monitor


def newest_of(signals: Iterable[Signal]) -> list[Signal]:
    """For each series, the signals of its latest instant: normally one, all of them when several tie."""
    latest: dict[tuple[str | None, ...], list[Signal]] = {}
    for signal in signals:
        key = (canonical_metric(signal.metric), *series_of(signal))
        known = latest.get(key)
        if known is None or signal.at > known[0].at:
            latest[key] = [signal]
        elif signal.at == known[0].at:
            known.append(signal)
    return [signal for tied in latest.values() for signal in tied]
