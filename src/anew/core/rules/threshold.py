"""Rule `threshold`: one metric beyond a limit, in any series, over many features, or with hysteresis."""

import math
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from anew.core.base.document import Document, MetricName, Number, Text
from anew.core.base.metrics import Worse, canonical_metric, check_direction, required_direction
from anew.core.evidence.comparison import Comparison, compare, node_of, number
from anew.core.evidence.facts import Facts
from anew.core.evidence.signals import Signal
from anew.core.evidence.tree import Node, Verdict, any_of


class ShareOfFeatures(Document):
    """At least this share of the features is beyond the value. A monitor's breach tag cannot tell a share: it lists
    breaching features only.
    """

    kind: Literal["share"]
    at_least: float = Field(gt=0, le=1)


class WeightedFeatures(Document):
    """The weighted mean over these features is beyond the value; all of them must have been measured."""

    kind: Literal["weighted"]
    weights: dict[Text, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(min_length=1)


OverFeatures = Annotated[ShareOfFeatures | WeightedFeatures, Field(discriminator="kind")]


class Threshold(Document):
    """One metric beyond a value; equality is not a breach. Exactly one of `above`, `below` and `worse_than`."""

    kind: Literal["threshold"]
    metric: MetricName
    above: Number | None = None
    below: Number | None = None
    worse_than: Number | None = Field(default=None, description="The direction comes from the table of known metrics.")
    feature: str | None = Field(default=None, description="Only this feature; default: any feature of the metric.")
    over: OverFeatures | None = Field(default=None, description="How to judge many features; default: any.")
    clears_at: Number | None = Field(
        default=None, description="Hysteresis: once beyond the value, it stays so until it is back at this one."
    )

    @property
    def worse(self) -> Worse:
        """The direction that fires."""
        if self.above is not None or self.below is not None:
            return Worse.ABOVE if self.above is not None else Worse.BELOW
        return required_direction(self.metric)

    @property
    def limit(self) -> float:
        """The value that has to be passed."""
        return next(value for value in (self.above, self.below, self.worse_than) if value is not None)

    @model_validator(mode="after")
    def _is_one_comparison(self) -> "Threshold":
        given = [name for name in ("above", "below", "worse_than") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("give exactly one of 'above', 'below' and 'worse_than'")
        check_direction(self.metric, self.worse)
        if self.feature is not None and self.over is not None:
            raise ValueError("give 'feature' or 'over', not both")
        if self.clears_at is None:
            return self
        if self.clears_at > self.limit if self.worse is Worse.ABOVE else self.clears_at < self.limit:
            side = "below" if self.worse is Worse.ABOVE else "above"
            raise ValueError(f"'clears_at' must be on the good side: {side} {self.limit:g}")
        if self.over is not None:
            raise ValueError("'clears_at' is for one series: it does not go with 'over'")
        return self


def judge_threshold(rule: Threshold, facts: Facts) -> Node:
    """YES when the newest value of any series, the share of features, or the weighted mean is beyond the limit."""
    metric = canonical_metric(rule.metric)
    match rule.over:
        case ShareOfFeatures():
            return _judge_share(rule, rule.over, _by_feature(facts, metric))
        case WeightedFeatures():
            return _judge_weighted_mean(rule, rule.over, _by_feature(facts, metric))
        case None:
            pass
    of = f" of feature {rule.feature}" if rule.feature else ""
    asked = {"metric": rule.metric, "feature": rule.feature, str(rule.worse): rule.limit}
    if rule.clears_at is None:
        limit, worse = rule.limit, rule.worse
        signals = [each for each in facts.newest(metric) if rule.feature is None or each.feature == rule.feature]
        compared = [compare(signal, limit, worse) for signal in signals]
    else:
        asked["clears_at"] = rule.clears_at
        series = facts.readings(metric, rule.feature).values()
        compared = [_with_hysteresis(rule, rule.clears_at, readings) for readings in series]
    return node_of("threshold", compared, f"there is no value of {rule.metric}{of}", asked)


def _with_hysteresis(rule: Threshold, clears_at: float, readings: Sequence[Signal]) -> Comparison:
    """Once a reading is beyond the limit, the later ones are compared with `clears_at` until one is back at it."""
    limit = rule.limit
    for signal in readings[:-1]:
        verdict = compare(signal, limit, rule.worse).verdict
        if verdict is not Verdict.UNKNOWN:
            limit = clears_at if verdict is Verdict.YES else rule.limit
    return compare(readings[-1], limit, rule.worse)


def _by_feature(facts: Facts, metric: str) -> list[Signal]:
    # A monitor's breach tag lists breaching features only, so no share and no mean can be computed from it.
    return [signal for signal in facts.newest(metric) if signal.feature is not None and signal.source != "event"]


def _judge_share(rule: Threshold, over: ShareOfFeatures, signals: Sequence[Signal]) -> Node:
    compared = [compare(signal, rule.limit, rule.worse) for signal in signals]
    of_feature: dict[str | None, list[Verdict]] = {}
    for each in compared:
        of_feature.setdefault(each.signal.feature, []).append(each.verdict)
    verdicts = [any_of(series) for series in of_feature.values()]
    beyond, unknown, features = verdicts.count(Verdict.YES), verdicts.count(Verdict.UNKNOWN), len(verdicts)
    # Divided, because a product such as 0.07 * 100 may come out above the 7 that it is.
    if features and beyond / features >= over.at_least:
        verdict = Verdict.YES
    elif features and (beyond + unknown) / features < over.at_least:
        verdict = Verdict.NO
    else:
        verdict = Verdict.UNKNOWN
    counted = f"{beyond} of {features} features have {rule.metric} {rule.worse} {number(rule.limit)}"
    sentence = f"{counted}; {over.at_least:.0%} are required" if compared else f"no source has {rule.metric} by feature"
    asked = {"metric": rule.metric, str(rule.worse): rule.limit, "at_least": over.at_least}
    values = {**asked, "beyond": beyond, "compared": [each.values() for each in compared]}
    return Node("threshold", verdict, sentence, values)


def _judge_weighted_mean(rule: Threshold, over: WeightedFeatures, signals: Sequence[Signal]) -> Node:
    measured = {feature: _worst_value(feature, signals, rule.worse) for feature in over.weights}
    values = {"metric": rule.metric, str(rule.worse): rule.limit, "weights": dict(over.weights), "measured": measured}
    if absent := [feature for feature, value in measured.items() if value is None]:
        return Node("threshold", Verdict.UNKNOWN, f"there is no {rule.metric} of {', '.join(absent)}", values)
    total = sum(over.weights.values())
    mean = sum(weight * (measured[feature] or 0.0) for feature, weight in over.weights.items()) / total
    if not (math.isfinite(mean) and math.isfinite(total)):
        return Node("threshold", Verdict.UNKNOWN, f"the weighted mean of {rule.metric} is too large a number", values)
    fires = mean > rule.limit if rule.worse is Worse.ABOVE else mean < rule.limit
    compared = f"{number(mean)}, {'is' if fires else 'is not'} {rule.worse} {number(rule.limit)}"
    verdict = Verdict.YES if fires else Verdict.NO
    return Node("threshold", verdict, f"the weighted mean of {rule.metric}, {compared}", values | {"mean": mean})


def _worst_value(feature: str, signals: Sequence[Signal], worse: Worse) -> float | None:
    """The worst value of a feature that several sources measured."""
    values = [s.value for s in signals if s.feature == feature and s.value is not None and math.isfinite(s.value)]
    return (max if worse is Worse.ABOVE else min)(values, default=None)
