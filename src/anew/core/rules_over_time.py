"""Judging rules that look at a history of readings: k of n, hysteresis, CUSUM, performance drop, gain.

All of them start anew with each retraining of the model: readings before it are about another model.
"""

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist, fmean

from anew.core.comparison import Comparison, compare, finite_or_none, named, node_of, number
from anew.core.decision import Node, Signal, Verdict
from anew.core.facts import Facts, arrange
from anew.core.metrics import MONITOR_FAILED, Worse, canonical_metric, direction_of
from anew.core.policy_rules import Cusum, GainCusum, KOfN, MonitorBreach, PerformanceDrop, Threshold
from anew.core.verdicts import any_of

# --- k of n -----------------------------------------------------------------------------------------------


def judge_k_of_n(rule: KOfN, inner: Callable[[Facts], Node], facts: Facts) -> Node:
    """YES when the rule fired at k of the newest n instants; unknown readings count neither way."""
    instants = _instants(_about(rule.of, facts))[-rule.n :]
    nodes = [inner(arrange(signals, facts.history, facts.now)) for signals in instants]
    fired = sum(node.verdict is Verdict.YES for node in nodes)
    unclear = sum(node.verdict not in (Verdict.YES, Verdict.NO) for node in nodes)
    if not nodes:
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
    since = facts.history.last_retraining_at
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
    return node_of("threshold", verdict, compared, f"there is no value of {rule.metric}", asked)


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
    series = facts.readings(canonical_metric(rule.metric), rule.feature).values()
    sums = [
        (readings[-1], _summed([sign * (v - rule.target) - rule.slack for v in _values(readings)]))
        for readings in series
    ]
    return _judge_sums("cusum", rule.metric, sums, rule.limit, {"target": rule.target, "slack": rule.slack})


def judge_gain_cusum(rule: GainCusum, cost: float, facts: Facts) -> Node:
    """The gains that were let pass, beyond their noise, against the share of the cost at which retraining pays."""
    series = facts.readings(canonical_metric(rule.metric)).values()
    sums = [(readings[-1], _summed([_beyond_noise(rule, signal) for signal in readings])) for readings in series]
    asked = {"cost": cost, "share": rule.share, "allowance": rule.allowance}
    return _judge_sums("gain_cusum", rule.metric, sums, rule.share * cost, asked)


def _beyond_noise(rule: GainCusum, signal: Signal) -> float:
    value = finite_or_none(signal.value)
    if value is None:
        return 0.0
    return value - (rule.allowance * math.sqrt(0.25 / signal.rows) if signal.rows else 0.0)


def _summed(steps: Sequence[float]) -> float:
    total = 0.0
    for step in steps:
        total = max(0.0, total + step)
    return total


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


def _values(readings: Sequence[Signal]) -> list[float]:
    return [value for signal in readings if (value := finite_or_none(signal.value)) is not None]


# --- performance ------------------------------------------------------------------------------------------


def judge_performance_drop(rule: PerformanceDrop, facts: Facts) -> Node:
    """YES when the newest readings are worse than the baseline by more than the drop, and by more than chance."""
    matured = facts.now - rule.label_delay
    nodes = [
        _drop_of([signal for signal in readings if signal.at <= matured and _values([signal])], rule)
        for readings in facts.readings(canonical_metric(rule.metric)).values()
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
    before = rule.baseline if rule.baseline is not None else fmean(_values(first))
    now = fmean(_values(newest))
    fall = (before - now) if direction_of(rule.metric) is Worse.BELOW else (now - before)
    chance = NormalDist().inv_cdf(rule.confidence) * math.hypot(_standard_error(first), _standard_error(newest))
    fires = fall > rule.drop and fall > chance
    told = f"{named(newest[-1])} went from {number(before)} to {number(now)}, {number(abs(fall))} {_worse(fall)}"
    allowed = f"{number(rule.drop)} is allowed" + (f", and chance explains {number(chance)}" if chance else "")
    values = {"before": before, "now": now, "fall": fall, "chance": chance, "drop": rule.drop}
    return Node("performance_drop", Verdict.YES if fires else Verdict.NO, f"{told}; {allowed}", values)


def _worse(fall: float) -> str:
    return "worse" if fall > 0 else "better"


def _standard_error(readings: Sequence[Signal]) -> float:
    """Of the mean of shares (0..1) whose rows are known; 0 for anything else."""
    values = _values(readings)
    rows = [signal.rows for signal in readings]
    if not values or not all(rows) or not all(0 <= value <= 1 for value in values):
        return 0.0
    variances = [value * (1 - value) / (count or 1) for value, count in zip(values, rows, strict=True)]
    return math.sqrt(sum(variances)) / len(variances)
