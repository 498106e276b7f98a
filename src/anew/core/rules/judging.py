"""Rules compiled to closures, once per policy. Judging is three-valued (Kleene) with errors beside: what nobody
measured, and what failed to evaluate, never retrains a model.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

from anew.core.base.metrics import MONITOR_FAILED, Worse, canonical_metric, direction_of
from anew.core.evidence.comparison import Comparison, compare, node_of, number, verdict_of
from anew.core.evidence.facts import Facts, newest_of
from anew.core.evidence.signals import Signal
from anew.core.evidence.tree import Node, Verdict
from anew.core.evidence.verdicts import all_of, any_of
from anew.core.rules.cel_rule import judge_cel
from anew.core.rules.documents import (
    AdaptiveGainCusum,
    AllOf,
    AnyOf,
    Cel,
    Cusum,
    GainCusum,
    KOfN,
    MonitorBreach,
    MonitorFailed,
    Not,
    PerformanceDrop,
    Rule,
    ShareOfFeatures,
    Threshold,
    WeightedFeatures,
)
from anew.core.rules.gain import judge_adaptive_gain_cusum
from anew.core.rules.over_time import judge_cusum, judge_gain_cusum, judge_k_of_n, judge_performance_drop, still_beyond

Judge = Callable[[Facts], Node]
_UNKNOWN = Verdict.UNKNOWN


def compile_rule(rule: Rule, cost: float) -> Judge:
    """The function that judges this rule. `cost` of a retraining is for the rules that weigh it."""
    match rule:
        case Threshold():
            return _threshold(rule)
        case MonitorBreach():
            return _monitor_breach(rule)
        case AllOf() | AnyOf():
            return _of_many(rule, tuple(compile_rule(below, cost) for below in rule.rules))
        case Not():
            return _opposite(compile_rule(rule.rule, cost))
        case Cel():
            return partial(judge_cel, rule, rule.compiled())
        case _:
            return _over_time(rule, cost)


def _over_time(
    rule: MonitorFailed | KOfN | Cusum | PerformanceDrop | GainCusum | AdaptiveGainCusum, cost: float
) -> Judge:
    match rule:
        case MonitorFailed():
            return _monitor_failed
        case KOfN():
            return partial(judge_k_of_n, rule, compile_rule(rule.of, cost))
        case Cusum():
            return partial(judge_cusum, rule)
        case PerformanceDrop():
            return partial(judge_performance_drop, rule)
        case GainCusum():
            return partial(judge_gain_cusum, rule, rule.cost or cost)
        case AdaptiveGainCusum():
            return partial(judge_adaptive_gain_cusum, rule, rule.cost or cost)


# --- rules over rules -------------------------------------------------------------------------------------


def _of_many(rule: AllOf | AnyOf, judges: tuple[Judge, ...]) -> Judge:
    name, combine = ("all", all_of) if isinstance(rule, AllOf) else ("any", any_of)
    words = {
        "all": {Verdict.YES: "every rule fires", Verdict.NO: "not every rule fires"},
        "any": {Verdict.YES: "a rule fires", Verdict.NO: "no rule fires"},
    }[name] | {Verdict.UNKNOWN: "cannot tell", Verdict.ERROR: "a rule failed"}

    def judge(facts: Facts) -> Node:
        children = tuple([each(facts) for each in judges])
        verdict = combine([child.verdict for child in children])
        return Node(name, verdict, lambda: f"{words[verdict]}: {_deciding(children, verdict)}", None, children)

    return judge


def _opposite(inner: Judge) -> Judge:
    flipped = {Verdict.YES: Verdict.NO, Verdict.NO: Verdict.YES}

    def judge(facts: Facts) -> Node:
        child = inner(facts)
        verdict = flipped.get(child.verdict, child.verdict)
        return Node("not", verdict, lambda: f"the opposite of: {child.sentence}", None, (child,))

    return judge


def _deciding(children: tuple[Node, ...], verdict: Verdict) -> str:
    return "; ".join(child.sentence for child in children if child.verdict is verdict)


# --- thresholds -------------------------------------------------------------------------------------------


def _threshold(rule: Threshold) -> Judge:
    metric, worse, limit = canonical_metric(rule.metric), rule.worse, rule.limit
    of = f" of feature {rule.feature}" if rule.feature else ""
    asked = {"metric": rule.metric, "feature": rule.feature, str(worse): limit}
    absent = f"there is no value of {rule.metric}{of}"
    match rule.over:
        case ShareOfFeatures():
            return lambda facts: _share(rule, _every_feature(facts, metric))
        case WeightedFeatures():
            return lambda facts: _weighted(rule, _every_feature(facts, metric))
        case None if rule.clears_at is not None:
            return lambda facts: still_beyond(rule, facts)
        case None:
            feature = rule.feature

            def judge(facts: Facts) -> Node:
                signals = facts.newest(metric)
                if feature is not None:
                    signals = [signal for signal in signals if signal.feature == feature]
                verdict = any_of([verdict_of(signal, limit, worse) for signal in signals]) if signals else _UNKNOWN
                return node_of(
                    "threshold", verdict, lambda: [compare(signal, limit, worse) for signal in signals], absent, asked
                )

            return judge


def _every_feature(facts: Facts, metric: str) -> list[Signal]:
    # A monitor's breach tag lists the breaching features only: nobody can tell a share, or a mean, from that.
    return [signal for signal in facts.newest(metric) if signal.feature is not None and signal.source != "event"]


def _share(rule: Threshold, signals: Sequence[Signal]) -> Node:
    assert isinstance(rule.over, ShareOfFeatures)
    compared = [compare(signal, rule.limit, rule.worse) for signal in signals]
    of_feature: dict[str | None, list[Verdict]] = {}
    for each in compared:
        of_feature.setdefault(each.signal.feature, []).append(each.verdict)
    verdicts = [any_of(series) for series in of_feature.values()]
    beyond, unknown, features = verdicts.count(Verdict.YES), verdicts.count(Verdict.UNKNOWN), len(verdicts)
    verdict = Verdict.UNKNOWN
    # Divided, because a product such as 0.07 * 100 may come out above the 7 that it is.
    if verdicts and (beyond / features >= rule.over.at_least or (beyond + unknown) / features < rule.over.at_least):
        verdict = Verdict.YES if beyond / features >= rule.over.at_least else Verdict.NO
    told = f"{beyond} of {features} features have {rule.metric} {rule.worse} {number(rule.limit)}"
    asked = {"metric": rule.metric, str(rule.worse): rule.limit, "at_least": rule.over.at_least}
    return Node(
        "threshold",
        verdict,
        f"{told}; {rule.over.at_least:.0%} are asked for" if compared else f"no source has {rule.metric} by feature",
        lambda: {**asked, "beyond": beyond, "compared": [each.values() for each in compared]},
    )


def _weighted(rule: Threshold, signals: Sequence[Signal]) -> Node:
    assert isinstance(rule.over, WeightedFeatures)
    weights = rule.over.weights
    values = {feature: _worst_of(feature, signals, rule.worse) for feature in weights}
    absent = [feature for feature, value in values.items() if value is None]
    asked = {"metric": rule.metric, str(rule.worse): rule.limit, "weights": dict(weights), "measured": values}
    if absent:
        return Node("threshold", Verdict.UNKNOWN, f"there is no {rule.metric} of {', '.join(absent)}", asked)
    total = sum(weights.values())
    mean = sum(weight * (values[feature] or 0.0) for feature, weight in weights.items()) / total
    if not (math.isfinite(mean) and math.isfinite(total)):
        return Node("threshold", Verdict.UNKNOWN, f"the weighted mean of {rule.metric} is too large a number", asked)
    fires = mean > rule.limit if rule.worse is Worse.ABOVE else mean < rule.limit
    told = f"the weighted mean of {rule.metric}, {number(mean)}, {'is' if fires else 'is not'} {rule.worse}"
    verdict = Verdict.YES if fires else Verdict.NO
    return Node("threshold", verdict, f"{told} {number(rule.limit)}", asked | {"mean": mean})


def _worst_of(feature: str, signals: Sequence[Signal], worse: Worse) -> float | None:
    """The worst value of a feature that several sources measured."""
    values = [s.value for s in signals if s.feature == feature and s.value is not None and math.isfinite(s.value)]
    return (max if worse is Worse.ABOVE else min)(values, default=None)


# --- monitors ---------------------------------------------------------------------------------------------


def _monitor_breach(rule: MonitorBreach) -> Judge:
    wanted = None if rule.signal is None else rule.signal.casefold()
    absent = f"there is no signal of {'a monitor' if rule.signal is None else f'the monitor {rule.signal}'}"
    asked = {"signal": rule.signal}

    def judge(facts: Facts) -> Node:
        compared = [
            _against_own_threshold(signal)
            for signal in newest_of(facts.signals)
            if signal.monitor is not None
            and signal.metric != MONITOR_FAILED
            and (wanted is None or signal.monitor.casefold() == wanted)
        ]
        return node_of("monitor_breach", _any(compared), lambda: compared, absent, asked)

    return judge


def _against_own_threshold(signal: Signal) -> Comparison:
    """A threshold that is not a number (feature attribution monitors write NaN) is as good as none."""
    limit = signal.threshold if signal.threshold is not None and math.isfinite(signal.threshold) else None
    return compare(signal, limit, direction_of(signal.metric) or Worse.ABOVE)


def _monitor_failed(facts: Facts) -> Node:
    failed = facts.by_metric.get(canonical_metric(MONITOR_FAILED), ())
    if not failed:
        return Node("monitor_failed", Verdict.NO, "no monitor of this policy failed")
    last = failed[-1]
    reported = max((s.at for s in facts.signals if s.monitor is not None and s.metric != MONITOR_FAILED), default=None)
    who, when = last.monitor or "a monitor", last.at.isoformat(" ", "seconds")
    if reported is not None and reported > last.at:
        again = reported.isoformat(" ", "seconds")
        return Node("monitor_failed", Verdict.NO, f"{who} failed at {when}, and a report came at {again}")
    return Node("monitor_failed", Verdict.YES, f"{who} failed at {when}, and has not reported since")


def _any(compared: Sequence[Comparison]) -> Verdict:
    return any_of([each.verdict for each in compared]) if compared else Verdict.UNKNOWN
