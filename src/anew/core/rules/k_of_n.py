"""Rule `k_of_n`: another rule fired in at least k of the newest n readings."""

from collections.abc import Callable, Iterable
from typing import Annotated, Literal

from pydantic import Field, model_validator

from anew.core.base.document import Document
from anew.core.base.metrics import canonical_metric
from anew.core.evidence.facts import Facts, arrange
from anew.core.evidence.signals import Signal
from anew.core.evidence.tree import Node, Verdict
from anew.core.rules.monitors import MonitorBreach, is_report
from anew.core.rules.threshold import Threshold


class KOfN(Document):
    """A rule fired in at least k of the newest n readings since the model was last retrained."""

    kind: Literal["k_of_n"]
    k: int = Field(ge=1, le=1000)
    n: int = Field(ge=1, le=1000)
    of: Annotated[Threshold | MonitorBreach, Field(discriminator="kind")]

    @model_validator(mode="after")
    def _k_is_possible(self) -> "KOfN":
        if self.k > self.n:
            raise ValueError(f"'k' must be at most 'n': {self.k} of {self.n} cannot be")
        if isinstance(self.of, Threshold) and self.of.clears_at is not None:
            raise ValueError("'clears_at' is a memory of its own: it does not go into 'k_of_n'")
        return self


def judge_k_of_n(rule: KOfN, judge: Callable[[Facts], Node], facts: Facts) -> Node:
    """YES when *judge* fired at k of the newest n instants; unknown readings count neither way."""
    instants = _by_instant(_readings_of(rule.of, facts))[-rule.n :]
    nodes = [judge(arrange(signals, facts.history, facts.now)) for signals in instants]
    fired = sum(node.verdict is Verdict.YES for node in nodes)
    unclear = sum(node.verdict not in (Verdict.YES, Verdict.NO) for node in nodes)
    if unclear == len(nodes):
        verdict = Verdict.UNKNOWN
    elif fired >= rule.k:
        verdict = Verdict.YES
    else:
        verdict = Verdict.UNKNOWN if fired + unclear >= rule.k else Verdict.NO
    sentence = f"fired in {fired} of the newest {len(nodes)} readings; {rule.k} of {rule.n} are required"
    return Node("k_of_n", verdict, sentence, {"k": rule.k, "n": rule.n, "fired": fired}, tuple(nodes[-1:]))


def _readings_of(rule: Threshold | MonitorBreach, facts: Facts) -> list[Signal]:
    if isinstance(rule, Threshold):
        series = facts.readings(canonical_metric(rule.metric), rule.feature).values()
        return [signal for readings in series for signal in readings]
    since = facts.history.model_since
    return [signal for signal in facts.signals if is_report(signal) and (since is None or signal.at > since)]


def _by_instant(signals: Iterable[Signal]) -> list[list[Signal]]:
    """The signals grouped by their instant, oldest first."""
    by_time: dict[float, list[Signal]] = {}
    for signal in signals:
        by_time.setdefault(signal.at.timestamp(), []).append(signal)
    return [by_time[at] for at in sorted(by_time)]
