"""Judging rules that look at a history of readings: k of n, hysteresis, CUSUM, performance drop, gain.

All of them start anew with each retraining of the model: readings before it are about another model.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from statistics import NormalDist

from anew.core.base.metrics import MONITOR_FAILED, Worse, canonical_metric, direction_of
from anew.core.evidence.comparison import Comparison, compare, finite_or_none, mean_of, named, node_of, number
from anew.core.evidence.facts import Facts, arrange
from anew.core.evidence.signals import Signal
from anew.core.evidence.tree import Node, Verdict
from anew.core.evidence.verdicts import any_of
from anew.core.rules.documents import Cusum, GainCusum, KOfN, MonitorBreach, PerformanceDrop, Threshold
from anew.core.statistics.cusum import cusum

# --- k of n -----------------------------------------------------------------------------------------------


def judge_k_of_n(rule: KOfN, inner: Callable[[Facts], Node], facts: Facts) -> Node:
    """YES when the rule fired at k of the newest n instants; unknown readings count neither way."""
    instants = _instants(_about(rule.of, facts))[-rule.n :]
    nodes = [inner(arrange(signals, facts.history, facts.now)) for signals in instants]
    fired = sum(node.verdict is Verdict.YES for node in nodes)
    unclear = sum(node.verdict not in (Verdict.YES, Verdict.NO) for node in nodes)
    if unclear == len(nodes):
        verdict = Verdict.UNKNOWN
    elif fired >= rule.k:
        verdict = Verdict.YES
    else:
        verdict = Verdict.UNKNOWN if fired + unclear >= rule.k else Verdict.NO
    told = f"fired in {fired} of the newest {len(nodes)} readings; {rule.k} of {rule.n} are asked for"
    return Node("k_of_n", verdict, told, {"k": rule.k, "n": rule.n, "fired": fired}, tuple(nodes[-1:]))


def _about(rule: Threshold | MonitorBreach, facts: Facts) -> list[Signal]:
    if isinstance(rule, Threshold):
        series = facts.readings(canonical_metric(rule.metric), rule.feature).values()
        return [signal for readings in series for signal in readings]
    since = facts.history.model_since
    return [
        signal
        for signal in facts.signals
        if signal.monitor is not None and signal.metric != MONITOR_FAILED and (since is None or signal.at > since)
    ]


def _instants(signals: Sequence[Signal]) -> list[list[Signal]]:
    """The signals grouped by their instant, oldest first."""
    by_time: dict[float, list[Signal]] = {}
    for signal in signals:
        by_time.setdefault(signal.at.timestamp(), []).append(signal)
    return [by_time[at] for at in sorted(by_time)]


# --- hysteresis -------------------------------------------------------------------------------------------


def still_beyond(rule: Threshold, facts: Facts) -> Node:
    """A threshold with memory: beyond the limit it fires, and it fires on until it is back at `clears_at`."""
    series = facts.readings(canonical_metric(rule.metric), rule.feature).values()
    compared = [_with_memory(rule, readings) for readings in series]
    verdict = any_of([each.verdict for each in compared]) if compared else Verdict.UNKNOWN
    asked = {"metric": rule.metric, "feature": rule.feature, str(rule.worse): rule.limit, "clears_at": rule.clears_at}
    return node_of("threshold", verdict, lambda: compared, f"there is no value of {rule.metric}", asked)


def _with_memory(rule: Threshold, readings: Sequence[Signal]) -> Comparison:
    assert rule.clears_at is not None
    limit = rule.limit
    for signal in readings[:-1]:
        verdict = compare(signal, limit, rule.worse).verdict
        if verdict is not Verdict.UNKNOWN:
            limit = rule.clears_at if verdict is Verdict.YES else rule.limit
    return compare(readings[-1], limit, rule.worse)


# --- sums -------------------------------------------------------------------------------------------------


def judge_cusum(rule: Cusum, facts: Facts) -> Node:
    """Page's one-sided CUSUM of each series; YES when the sum of any of them has reached the limit."""
    sign = 1.0 if rule.bad_side is Worse.ABOVE else -1.0
    series = _measured(facts.readings(canonical_metric(rule.metric), rule.feature).values())
    sums = [
        (readings[-1], cusum(sign * (v - rule.target) - rule.slack for v in _values(readings))) for readings in series
    ]
    return _judge_sums("cusum", rule.metric, sums, rule.limit, {"target": rule.target, "slack": rule.slack})


def judge_gain_cusum(rule: GainCusum, cost: float, facts: Facts) -> Node:
    """The gains that were let pass, beyond their noise, against the share of the cost at which retraining pays."""
    series = _measured(facts.readings(canonical_metric(rule.metric)).values())
    sums = [(readings[-1], cusum(_beyond_noise(rule, signal) for signal in readings)) for readings in series]
    asked = {"cost": cost, "share": rule.share, "allowance": rule.allowance}
    return _judge_sums("gain_cusum", rule.metric, sums, rule.share * cost, asked)


def _beyond_noise(rule: GainCusum, signal: Signal) -> float:
    value = signal.value or 0.0
    return value - (rule.allowance * math.sqrt(0.25 / signal.rows) if signal.rows and signal.rows > 0 else 0.0)


def _judge_sums(
    rule: str, metric: str, sums: Sequence[tuple[Signal, float]], limit: float, asked: dict[str, float]
) -> Node:
    if not sums:
        return Node(rule, Verdict.UNKNOWN, f"there is no value of {metric} since the last retraining", asked)
    signal, highest = max(sums, key=lambda item: item[1])
    fires = highest >= limit
    told = f"the sum over {named(signal)}, {number(highest)}, {'has' if fires else 'has not'} reached {number(limit)}"
    values = asked | {"sum": highest, "limit": limit}
    return Node(rule, Verdict.YES if fires else Verdict.NO, told, values)


def _measured(series: Iterable[Sequence[Signal]]) -> list[list[Signal]]:
    """Each series without the readings that are no numbers; a series of nothing else is none."""
    numbers = ([signal for signal in readings if finite_or_none(signal.value) is not None] for readings in series)
    return [readings for readings in numbers if readings]


def _values(readings: Sequence[Signal]) -> list[float]:
    return [value for signal in readings if (value := finite_or_none(signal.value)) is not None]


# --- performance ------------------------------------------------------------------------------------------


def judge_performance_drop(rule: PerformanceDrop, facts: Facts) -> Node:
    """YES when the newest readings are worse than the baseline by more than the drop, and by more than chance."""
    matured = facts.now - rule.label_delay
    nodes = [
        _drop_of([signal for signal in readings if signal.at <= matured], rule)
        for readings in _measured(facts.readings(canonical_metric(rule.metric)).values())
    ]
    if not nodes:
        absent = f"there is no value of {rule.metric} since the last retraining"
        return Node("performance_drop", Verdict.UNKNOWN, absent)
    verdict = any_of([node.verdict for node in nodes])
    return next(node for node in nodes if node.verdict is verdict)


def _drop_of(readings: Sequence[Signal], rule: PerformanceDrop) -> Node:
    first = () if rule.baseline is not None else readings[: rule.baseline_readings]
    newest = readings[len(first) :][-rule.newest :]
    if not newest or (rule.baseline is None and len(first) < rule.baseline_readings):
        told = f"{len(readings)} readings of {rule.metric} have their labels; a baseline and a newer one are needed"
        return Node("performance_drop", Verdict.UNKNOWN, told, {"readings": len(readings)})
    before = rule.baseline if rule.baseline is not None else mean_of(_values(first))
    now = mean_of(_values(newest))
    fall = (before - now) if direction_of(rule.metric) is Worse.BELOW else (now - before)
    values: dict[str, float | None] = {"before": finite_or_none(before), "now": finite_or_none(now), "drop": rule.drop}
    if not math.isfinite(fall):
        return Node("performance_drop", Verdict.UNKNOWN, f"the values of {rule.metric} are too large numbers", values)
    chance = _chance(before, now, _per_row(first), _per_row(newest), rule.confidence)
    fires = fall > rule.drop and fall > chance
    told = f"{named(newest[-1])} went from {number(before)} to {number(now)}, {number(abs(fall))} {_worse(fall)}"
    allowed = f"{number(rule.drop)} is allowed" + (f", and chance explains {number(chance)}" if chance else "")
    values |= {"fall": fall, "chance": chance}
    return Node("performance_drop", Verdict.YES if fires else Verdict.NO, f"{told}; {allowed}", values)


def _worse(fall: float) -> str:
    return "worse" if fall > 0 else "better"


def _chance(before: float, now: float, rows_before: float, rows_now: float, confidence: float) -> float:
    """How far two shares (0..1) of one and the same model fall apart by chance, given 1 / rows of both (0: unknown).

    The variance is that of their common value, since a share of 0 or 1 from a few rows would seem to have none; and
    shares of a few rows are steps, hence the correction for continuity.
    """
    either = rows_before + rows_now
    if confidence == 0.5 or not either or not (0 <= before <= 1 and 0 <= now <= 1):
        return 0.0
    common = before if not rows_before else now if not rows_now else (before * rows_now + now * rows_before) / either
    return NormalDist().inv_cdf(confidence) * math.sqrt(common * (1 - common) * either) + either / 2


def _per_row(readings: Sequence[Signal]) -> float:
    """1 / the rows that the mean of these readings is worth; 0 where the rows are not known."""
    rows = [signal.rows for signal in readings if signal.rows is not None and signal.rows > 0]
    known = bool(rows) and len(rows) == len(readings)
    return sum(1 / count for count in rows) / len(rows) ** 2 if known else 0.0
