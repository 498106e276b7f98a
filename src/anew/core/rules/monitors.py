"""Rules about Azure's monitors: `monitor_breach` and `monitor_failed`."""

import math
from typing import Literal

from pydantic import Field

from anew.core.base.document import Document
from anew.core.base.metrics import MONITOR_FAILED, Worse, canonical_metric, direction_of
from anew.core.evidence.comparison import compare, node_of
from anew.core.evidence.facts import Facts, newest_of
from anew.core.evidence.signals import Signal
from anew.core.evidence.tree import Node, Verdict


class MonitorBreach(Document):
    """A monitor reported a breach, which is recomputed from value and threshold where both are known."""

    kind: Literal["monitor_breach"]
    signal: str | None = Field(
        default=None,
        description="Only this signal; default: any signal of this policy's monitors.",
    )


class MonitorFailed(Document):
    """A monitor of this policy had no data, or broke, and has not reported since. For `block_when`."""

    kind: Literal["monitor_failed"]


def judge_monitor_breach(rule: MonitorBreach, facts: Facts) -> Node:
    """YES when the newest value of a monitor is beyond its own threshold, in the metric's own direction."""
    compared = [
        compare(signal, _usable_threshold(signal), direction_of(signal.metric) or Worse.ABOVE)
        for signal in newest_of(facts.signals)
        if is_report(signal) and (rule.signal is None or str(signal.monitor).casefold() == rule.signal.casefold())
    ]
    absent = f"there is no signal of {'a monitor' if rule.signal is None else f'the monitor {rule.signal}'}"
    return node_of("monitor_breach", compared, absent, {"signal": rule.signal})


def judge_monitor_failed(_: MonitorFailed, facts: Facts) -> Node:
    """YES when a monitor failed and no monitor has reported since."""
    failed = facts.by_metric.get(canonical_metric(MONITOR_FAILED), ())
    if not failed:
        return Node("monitor_failed", Verdict.NO, "no monitor of this policy failed")
    last = failed[-1]
    reported = max((signal.at for signal in facts.signals if is_report(signal)), default=None)
    failure = f"{last.monitor or 'a monitor'} failed at {last.at.isoformat(' ', 'seconds')}"
    if reported is not None and reported > last.at:
        again = reported.isoformat(" ", "seconds")
        return Node("monitor_failed", Verdict.NO, f"{failure}, and a report came at {again}")
    return Node("monitor_failed", Verdict.YES, f"{failure}, and has not reported since")


def is_report(signal: Signal) -> bool:
    """Whether a monitor reported this value."""
    return signal.monitor is not None and signal.metric != MONITOR_FAILED


def _usable_threshold(signal: Signal) -> float | None:
    """None also for a threshold that is not a number: feature attribution monitors write NaN."""
    return signal.threshold if signal.threshold is not None and math.isfinite(signal.threshold) else None
