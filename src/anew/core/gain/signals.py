"""Gains of retraining as signals, and back: they travel from a source of evidence to a rule.

`gain` is a series with one reading for each labelled batch the champion served except its first, and so is
`gain_shortfall` where the champion's own record is known; the other signals are about now.
"""

from collections.abc import Sequence
from datetime import datetime

from anew.core.base.metrics import canonical_metric
from anew.core.evidence.comparison import finite_or_none
from anew.core.evidence.facts import Facts
from anew.core.evidence.signals import Signal
from anew.core.gain.gain import GainEvidence

GAIN = "gain"
SHORTFALL = "gain_shortfall"
AGEING = "gain_ageing"
ANTICIPATED = "anticipated_gain"
TYPICAL_ERROR = "gain_error"
PENDING = "pending_batches"


def signals_of_gain(gains: GainEvidence, times: Sequence[datetime], now: datetime, source: str) -> list[Signal]:
    """The evidence as signals. `times` are when the batches of `gains.gains` ended."""
    series = [
        Signal(GAIN, gain, source, at, rows=rows, error=error)
        for gain, error, rows, at in zip(gains.gains, gains.errors, gains.rows, times, strict=True)
    ]
    series += [Signal(SHORTFALL, shortfall, source, at) for shortfall, at in zip(gains.shortfalls, times, strict=False)]
    about_now = {
        AGEING: gains.ageing,
        ANTICIPATED: gains.anticipated,
        TYPICAL_ERROR: finite_or_none(gains.typical_error),
        PENDING: float(gains.pending),
    }
    return series + [Signal(name, value, source, now) for name, value in about_now.items()]


def gain_of_facts(facts: Facts, metric: str = GAIN) -> GainEvidence | None:
    """The evidence in these facts; None if they have no gains. Readings without a value are left out."""
    readings = [
        signal
        for series in facts.readings(canonical_metric(metric)).values()
        for signal in series
        if finite_or_none(signal.value) is not None
    ]
    ageing = _newest(facts, AGEING)
    if not readings and ageing is None:
        return None
    return GainEvidence(
        gains=tuple(signal.value or 0.0 for signal in readings),
        errors=tuple(signal.error or 0.0 for signal in readings),
        rows=tuple(signal.rows or 0 for signal in readings),
        typical_error=_typical_error(facts, readings),
        shortfalls=_shortfalls(facts, readings),
        ageing=ageing or 0.0,
        anticipated=_newest(facts, ANTICIPATED) or 0.0,
        pending=int(_newest(facts, PENDING) or 0),
    )


def _shortfalls(facts: Facts, readings: Sequence[Signal]) -> tuple[float, ...]:
    known = {
        signal.at: finite_or_none(signal.value)
        for series in facts.readings(canonical_metric(SHORTFALL)).values()
        for signal in series
    }
    return tuple(known.get(signal.at) or 0.0 for signal in readings) if known else ()


def _typical_error(facts: Facts, readings: Sequence[Signal]) -> float:
    told = _newest(facts, TYPICAL_ERROR)
    if told is not None:
        return told
    errors = [signal.error for signal in readings[-8:] if signal.error is not None]
    return sum(errors) / len(errors) if errors else float("inf")


def _newest(facts: Facts, metric: str) -> float | None:
    values = [finite_or_none(signal.value) for signal in facts.newest(canonical_metric(metric))]
    return next((value for value in values if value is not None), None)
