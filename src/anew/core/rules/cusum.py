"""Rules that add readings up: `cusum` (small shifts) and `gain_cusum` (gains of retraining)."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field, model_validator

from anew.core.base.document import Document, MetricName, Number, Text
from anew.core.base.metrics import Worse, canonical_metric, check_direction, required_direction
from anew.core.evidence.comparison import named, number
from anew.core.evidence.facts import Facts
from anew.core.evidence.signals import Signal
from anew.core.evidence.tree import Node, Verdict
from anew.core.statistics.cusum import cusum


class Cusum(Document):
    """Small shifts add up: S = max(0, S + (deviation from target, in the bad direction) - slack), over the readings
    since the last retraining; fires when S reaches `limit` (Page, Biometrika 41, 1954).
    """

    kind: Literal["cusum"]
    metric: MetricName
    target: Number = Field(description="The value when all is well.")
    slack: float = Field(default=0.0, ge=0, allow_inf_nan=False, description="Deviation that is normal.")
    limit: float = Field(gt=0, allow_inf_nan=False)
    feature: str | None = None
    worse: Worse | None = Field(default=None, description="Direction; default: from the table of known metrics.")

    @model_validator(mode="after")
    def _has_a_direction(self) -> "Cusum":
        check_direction(self.metric, self.bad_side)
        return self

    @property
    def bad_side(self) -> Worse:
        """The direction that adds up."""
        return self.worse or required_direction(self.metric)


class GainCusum(Document):
    """The gain that a newly trained model would bring adds up to what retraining costs (`retrain.cost`).
    S = max(0, S + gain - allowance * sqrt(0.25 / rows)), since the last retraining; fires when S reaches
    `share` * cost. Signals: metric `gain`, with their rows.
    """

    kind: Literal["gain_cusum"]
    metric: Text = "gain"
    allowance: float = Field(default=0.25, ge=0, allow_inf_nan=False, description="In standard errors of the rows.")
    share: float = Field(default=0.5, gt=0, allow_inf_nan=False, description="Of the cost, at which it pays.")
    cost: float | None = Field(default=None, gt=0, allow_inf_nan=False, description="Default: `retrain.cost`.")


def judge_cusum(rule: Cusum, facts: Facts) -> Node:
    """Page's one-sided CUSUM of each series; YES when the sum of any of them has reached the limit."""
    sign = 1.0 if rule.bad_side is Worse.ABOVE else -1.0
    sums = [
        (readings[-1][0], cusum(sign * (value - rule.target) - rule.slack for _, value in readings))
        for readings in facts.measured(canonical_metric(rule.metric), rule.feature)
    ]
    return _judge_sums("cusum", rule.metric, sums, rule.limit, {"target": rule.target, "slack": rule.slack})


def judge_gain_cusum(rule: GainCusum, cost: float, facts: Facts) -> Node:
    """The gains that were not taken, less their noise, against the share of the cost at which retraining pays."""
    sums = [
        (readings[-1][0], cusum(value - rule.allowance * _standard_error(signal) for signal, value in readings))
        for readings in facts.measured(canonical_metric(rule.metric))
    ]
    asked = {"cost": cost, "share": rule.share, "allowance": rule.allowance}
    return _judge_sums("gain_cusum", rule.metric, sums, rule.share * cost, asked)


def _standard_error(signal: Signal) -> float:
    return math.sqrt(0.25 / signal.rows) if signal.rows and signal.rows > 0 else 0.0


def _judge_sums(
    rule: str, metric: str, sums: Sequence[tuple[Signal, float]], limit: float, asked: Mapping[str, float]
) -> Node:
    if not sums:
        return Node(rule, Verdict.UNKNOWN, f"there is no value of {metric} since the last retraining", asked)
    signal, highest = max(sums, key=lambda item: item[1])
    fires = highest >= limit
    reached = f"{'has' if fires else 'has not'} reached {number(limit)}"
    sentence = f"the sum over {named(signal)}, {number(highest)}, {reached}"
    return Node(rule, Verdict.YES if fires else Verdict.NO, sentence, {**asked, "sum": highest, "limit": limit})
