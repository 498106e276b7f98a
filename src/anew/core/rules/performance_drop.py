"""Rule `performance_drop`: the model's performance fell, beyond what chance explains."""

import math
from collections.abc import Sequence
from datetime import timedelta
from statistics import NormalDist
from typing import Literal

from pydantic import Field, model_validator

from anew.core.base.document import Document, Duration, Number, Text
from anew.core.base.metrics import Worse, canonical_metric, required_direction
from anew.core.evidence.comparison import finite_or_none, mean_of, named, number
from anew.core.evidence.facts import Facts
from anew.core.evidence.signals import Signal
from anew.core.evidence.tree import Node, Verdict, any_of

_Readings = Sequence[tuple[Signal, float]]


class PerformanceDrop(Document):
    """The model's performance fell by more than `drop`, beyond what the rows leave to chance. Labels come late:
    readings younger than `label_delay` do not count yet.
    """

    kind: Literal["performance_drop"]
    metric: Text = Field(default="accuracy", description="A performance metric with a known direction.")
    drop: float = Field(gt=0, allow_inf_nan=False, description="In the metric's own unit: 0.05 of accuracy is 5 pp.")
    baseline: Number | None = Field(
        default=None, description="Default: the mean of the first `baseline_readings` since the last retraining."
    )
    baseline_readings: int = Field(default=2, ge=1, le=1000)
    newest: int = Field(default=1, ge=1, le=1000, description="Mean over so many of the newest readings.")
    label_delay: Duration = timedelta(0)
    confidence: float = Field(
        default=0.95, ge=0.5, lt=1, description="One-sided, for shares whose rows are known; 0.5 compares as it is."
    )

    @model_validator(mode="after")
    def _has_a_direction(self) -> "PerformanceDrop":
        required_direction(self.metric)
        return self


def judge_performance_drop(rule: PerformanceDrop, facts: Facts) -> Node:
    """YES when the newest readings are worse than the baseline by more than the drop, and by more than chance."""
    labelled_until = facts.now - rule.label_delay
    nodes = [
        _judge_series(rule, [reading for reading in readings if reading[0].at <= labelled_until])
        for readings in facts.measured(canonical_metric(rule.metric))
    ]
    if not nodes:
        absent = f"there is no value of {rule.metric} since the last retraining"
        return Node("performance_drop", Verdict.UNKNOWN, absent)
    verdict = any_of(node.verdict for node in nodes)
    return next(node for node in nodes if node.verdict is verdict)


def _judge_series(rule: PerformanceDrop, readings: _Readings) -> Node:
    first = () if rule.baseline is not None else readings[: rule.baseline_readings]
    newest = readings[len(first) :][-rule.newest :]
    if not newest or (rule.baseline is None and len(first) < rule.baseline_readings):
        known = f"{len(readings)} readings of {rule.metric} have their labels; a baseline and a newer one are needed"
        return Node("performance_drop", Verdict.UNKNOWN, known, {"readings": len(readings)})
    before = rule.baseline if rule.baseline is not None else mean_of([value for _, value in first])
    now = mean_of([value for _, value in newest])
    fall = (before - now) if required_direction(rule.metric) is Worse.BELOW else (now - before)
    values: dict[str, float | None] = {"before": finite_or_none(before), "now": finite_or_none(now), "drop": rule.drop}
    if not math.isfinite(fall):
        return Node("performance_drop", Verdict.UNKNOWN, f"the values of {rule.metric} are too large numbers", values)
    chance = _chance(before, now, _per_row(first), _per_row(newest), rule.confidence)
    fires = fall > rule.drop and fall > chance
    change = f"{named(newest[-1][0])} went from {number(before)} to {number(now)}"
    by = f"{number(abs(fall))} {'worse' if fall > 0 else 'better'}"
    allowed = f"{number(rule.drop)} is allowed" + (f", and chance explains {number(chance)}" if chance else "")
    values |= {"fall": fall, "chance": chance}
    return Node("performance_drop", Verdict.YES if fires else Verdict.NO, f"{change}, {by}; {allowed}", values)


def _chance(before: float, now: float, per_row_before: float, per_row_now: float, confidence: float) -> float:
    """How far two shares (0..1) of the same model can differ by chance, given 1 / rows of both (0: unknown).

    The variance is that of their common value, because a share of 0 or 1 from a few rows would seem to have none.
    Shares of a few rows are steps, hence the correction for continuity.
    """
    either = per_row_before + per_row_now
    if confidence == 0.5 or not either or not (0 <= before <= 1 and 0 <= now <= 1):
        return 0.0
    if not per_row_before:
        common = before
    elif not per_row_now:
        common = now
    else:
        common = (before * per_row_now + now * per_row_before) / either
    return NormalDist().inv_cdf(confidence) * math.sqrt(common * (1 - common) * either) + either / 2


def _per_row(readings: _Readings) -> float:
    """1 / the rows that the mean of these readings is worth; 0 where the rows are not known."""
    rows = [signal.rows for signal, _ in readings if signal.rows is not None and signal.rows > 0]
    known = bool(rows) and len(rows) == len(readings)
    return sum(1 / count for count in rows) / len(rows) ** 2 if known else 0.0
