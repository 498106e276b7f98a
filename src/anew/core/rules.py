"""Judging one rule against the evidence: three-valued (Kleene), so that what nobody measured never retrains a model."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

from anew.core.decision import Evidence, Node, Signal, Verdict
from anew.core.policy import AllOf, AnyOf, MonitorBreach, Not, Rule, Threshold

DETAILS_UNKNOWN = "breach"  # the metric of a signal whose monitor said "breached" and nothing anybody could read

LOWER_IS_WORSE = frozenset(
    {
        "twosamplekolmogorovsmirnovtest",  # a p-value
        "pearsonschisquaredtest",  # a p-value
        "normalizeddiscountedcumulativegain",
        "accuracy",
        "precision",
        "recall",
    }
)
_LOWER_IS_WORSE_PREFIX = "aggregated"  # the GenAI scores: AggregatedGroundednessPassRate and the like
_SYNONYMS = {
    "chisquaredtest": "pearsonschisquaredtest",
    "mae": "meanabsoluteerror",
    "mse": "meansquarederror",
    "rmse": "rootmeansquarederror",
}


@lru_cache(maxsize=1024)
def canonical_metric(name: str) -> str:
    """One spelling for a metric: Azure writes `two_sample_kolmogorov_smirnov_test` in YAML and
    `TwoSampleKolmogorovSmirnovTest` in outputs and tags.
    """
    plain = name.replace("_", "").replace(" ", "").casefold()
    return _SYNONYMS.get(plain, plain)


def lower_is_worse(metric: str) -> bool:
    """Whether a monitor's metric is breached below its threshold, by the metric's definition.

    Azure's own component compares Accuracy, Precision and Recall the other way round (azureml-assets,
    `evaluate_metrics_threshold.py`), so that a *good* accuracy is tagged as a breach: that is not followed here.
    """
    name = canonical_metric(metric)
    return name in LOWER_IS_WORSE or name.startswith(_LOWER_IS_WORSE_PREFIX)


MOST_SHOWN = 3  # comparisons in one sentence; the node's values hold them all


def judge(rule: Rule, evidence: Evidence) -> Node:
    """The verdict of this rule, with the verdicts of the rules below it. Signals must be fresh already."""
    match rule:
        case Threshold():
            return _judge_threshold(rule, evidence)
        case MonitorBreach():
            return _judge_breach(rule, evidence)
        case AllOf():
            return _judge_all(tuple(judge(below, evidence) for below in rule.rules))
        case AnyOf():
            return _judge_any(tuple(judge(below, evidence) for below in rule.rules))
        case Not():
            return _judge_not(judge(rule.rule, evidence))


def all_of(verdicts: Iterable[Verdict]) -> Verdict:
    """Kleene conjunction: one no decides, else one unknown leaves it open."""
    seen = set(verdicts)
    return Verdict.NO if Verdict.NO in seen else Verdict.UNKNOWN if Verdict.UNKNOWN in seen else Verdict.YES


def any_of(verdicts: Iterable[Verdict]) -> Verdict:
    """Kleene disjunction: one yes decides, else one unknown leaves it open."""
    seen = set(verdicts)
    return Verdict.YES if Verdict.YES in seen else Verdict.UNKNOWN if Verdict.UNKNOWN in seen else Verdict.NO


# --- rules over rules -------------------------------------------------------------------------------------


def _judge_all(children: tuple[Node, ...]) -> Node:
    verdict = all_of(child.verdict for child in children)
    words = {Verdict.YES: "every rule fires", Verdict.NO: "not every rule fires", Verdict.UNKNOWN: "cannot tell"}
    return Node("all", verdict, f"{words[verdict]}: {_deciding(children, verdict)}", children=children)


def _judge_any(children: tuple[Node, ...]) -> Node:
    verdict = any_of(child.verdict for child in children)
    words = {Verdict.YES: "a rule fires", Verdict.NO: "no rule fires", Verdict.UNKNOWN: "cannot tell"}
    return Node("any", verdict, f"{words[verdict]}: {_deciding(children, verdict)}", children=children)


def _judge_not(child: Node) -> Node:
    flipped = {Verdict.YES: Verdict.NO, Verdict.NO: Verdict.YES, Verdict.UNKNOWN: Verdict.UNKNOWN}
    return Node("not", flipped[child.verdict], f"the opposite of: {child.sentence}", children=(child,))


def _deciding(children: tuple[Node, ...], verdict: Verdict) -> str:
    return "; ".join(child.sentence for child in children if child.verdict is verdict)


# --- rules over signals -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Comparison:
    """One signal held against a limit; without a limit the monitor's own word counts."""

    signal: Signal
    limit: float | None
    below: bool
    verdict: Verdict

    @classmethod
    def of(cls, signal: Signal, limit: float | None, *, below: bool) -> Self:
        value = signal.value
        if value is None or not math.isfinite(value):
            verdict = Verdict.UNKNOWN
        elif limit is None or (value < limit if below else value > limit):
            verdict = Verdict.YES
        else:
            verdict = Verdict.NO
        return cls(signal, limit, below, verdict)

    def sentence(self) -> str:
        signal = self.signal
        name = signal.metric if signal.feature is None else f"{signal.metric} of {signal.feature}"
        origin = f"({signal.source}, {signal.at.date().isoformat()})"
        if signal.metric == DETAILS_UNKNOWN:
            return f"{signal.monitor or 'a monitor'} reported a breach, but no value that can be read {origin}"
        if signal.value is None or not math.isfinite(signal.value):
            return f"{name} has no value {origin}"
        if self.limit is None:
            return f"{name} {_number(signal.value)} is a breach on the monitor's word, no threshold known {origin}"
        value, limit = _numbers(signal.value, self.limit)
        fires = "is" if self.verdict is Verdict.YES else "is not"
        return f"{name} {value} {fires} {'below' if self.below else 'above'} {limit} {origin}"

    def values(self) -> dict[str, Any]:
        """The comparison as JSON; what is not a finite number is null."""
        signal, value = self.signal, self.signal.value
        return {
            "metric": signal.metric,
            "feature": signal.feature,
            "source": signal.source,
            "monitor": signal.monitor,
            "at": signal.at.isoformat(),
            "value": value if value is not None and math.isfinite(value) else None,
            "breach": "below" if self.below else "above",
            "limit": self.limit,
            "verdict": str(self.verdict),
        }


def _judge_threshold(rule: Threshold, evidence: Evidence) -> Node:
    metric, below = canonical_metric(rule.metric), rule.above is None
    limit = rule.below if below else rule.above
    compared = [
        _Comparison.of(signal, limit, below=below)
        for signal in _newest(
            signal
            for signal in evidence.signals
            if canonical_metric(signal.metric) == metric and (rule.feature is None or signal.feature == rule.feature)
        )
    ]
    of = f" of feature {rule.feature}" if rule.feature else ""
    asked = {"metric": rule.metric, "feature": rule.feature, "below" if below else "above": limit}
    return _judge_compared("threshold", compared, f"there is no value of {rule.metric}{of}", asked)


def _judge_breach(rule: MonitorBreach, evidence: Evidence) -> Node:
    wanted = None if rule.signal is None else rule.signal.casefold()
    compared = [
        _against_own_threshold(signal)
        for signal in _newest(evidence.signals)
        if signal.monitor is not None and (wanted is None or signal.monitor.casefold() == wanted)
    ]
    absent = f"there is no signal of {'a monitor' if rule.signal is None else f'the monitor {rule.signal}'}"
    return _judge_compared("monitor_breach", compared, absent, {"signal": rule.signal})


def _against_own_threshold(signal: Signal) -> _Comparison:
    """A threshold that is not a number (feature attribution monitors write NaN) is as good as none."""
    limit = signal.threshold if signal.threshold is not None and math.isfinite(signal.threshold) else None
    return _Comparison.of(signal, limit, below=lower_is_worse(signal.metric))


def _judge_compared(rule: str, compared: Sequence[_Comparison], absent: str, asked: Mapping[str, Any]) -> Node:
    verdict = any_of(each.verdict for each in compared) if compared else Verdict.UNKNOWN
    deciding = [each.sentence() for each in compared if each.verdict is verdict]
    shown = "; ".join(deciding[:MOST_SHOWN]) + (
        f"; and {len(deciding) - MOST_SHOWN} more" if deciding[MOST_SHOWN:] else ""
    )
    return Node(rule, verdict, shown or absent, {**asked, "compared": [each.values() for each in compared]})


def _newest(signals: Iterable[Signal]) -> list[Signal]:
    """For each series, the signals of its latest instant: normally one, and all of them when several tie."""
    latest: dict[tuple[str | None, ...], list[Signal]] = {}
    for signal in signals:
        series = (canonical_metric(signal.metric), signal.feature, signal.source, signal.monitor)
        known = latest.get(series)
        if known is None or signal.at > known[0].at:
            latest[series] = [signal]
        elif signal.at == known[0].at:
            known.append(signal)
    return [signal for tied in latest.values() for signal in tied]


def _number(value: float) -> str:
    return f"{value:.6g}"


def _numbers(value: float, limit: float) -> tuple[str, str]:
    """Both short, unless short they would look the same."""
    short = _number(value), _number(limit)
    return short if value == limit or short[0] != short[1] else (repr(value), repr(limit))
