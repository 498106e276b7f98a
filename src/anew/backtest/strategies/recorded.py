"""Policies replayed over recorded signals, where there are no labelled rows."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any

from anew.backtest.strategies.policies import rules_of, would_have_retrained
from anew.core.base.metrics import canonical_metric
from anew.core.decisions.decide import compile_policy, decide
from anew.core.decisions.decision import Outcome
from anew.core.evidence.facts import series_of
from anew.core.evidence.signals import Evidence, Signal
from anew.core.policies.policy import Policy
from anew.core.rules.rule import needs_of

_OUTCOMES = tuple(outcome for outcome in Outcome if outcome is not Outcome.ROLL_BACK)
"""The outcomes of a replay. It has no releases, so `prefer_rollback` never applies."""


@dataclass(frozen=True)
class Retrained:
    """One retraining the policy would have started, and its reasons."""

    at: datetime
    sentence: str


@dataclass(frozen=True)
class RecordedReplay:
    """The replay of a policy: how often it decided on each outcome, and when it would have retrained.

    `unseen` are the metrics it needs that have no signal; rules on them stay unknown.
    """

    policy: str
    outcomes: Mapping[Outcome, int]
    retrained: tuple[Retrained, ...] = ()
    unseen: frozenset[str] = field(default=frozenset())

    @property
    def instants(self) -> int:
        """How often it decided."""
        return sum(self.outcomes.values())

    def as_json(self) -> dict[str, Any]:
        return {
            "policy": self.policy,
            "instants": self.instants,
            "retrains": len(self.retrained),
            "outcomes": {str(outcome): count for outcome, count in self.outcomes.items()},
            "retrained": [{"at": each.at.isoformat(), "sentence": each.sentence} for each in self.retrained],
            **({"cannot_see": sorted(self.unseen)} if self.unseen else {}),
        }


def replay_signals(policy: Policy, signals: Sequence[Signal], name: str) -> RecordedReplay:
    """Let the policy decide at each distinct instant, on all signals up to then.

    Every retraining it would have started has passed the gate, at once, and is charged by its budget.
    """
    compiled, known = compile_policy(policy), _Known(policy)
    counts: Counter[Outcome] = Counter()
    retrained: list[Retrained] = []
    for now, measured in groupby(sorted(signals, key=_at), key=_at):
        known.add(measured)
        history = would_have_retrained(policy, [each.at for each in retrained])
        decision = decide(compiled, known.evidence(history.model_since), history, now)
        counts[decision.outcome] += 1
        if decision.outcome is Outcome.RETRAIN:
            retrained.append(Retrained(now, decision.tree.sentence))
    shown = {canonical_metric(signal.metric) for signal in signals}
    outcomes = {outcome: counts[outcome] for outcome in _OUTCOMES}
    return RecordedReplay(name, outcomes, tuple(retrained), needs_of(*rules_of(policy)).metrics - shown)


class _Known:
    """The signals a decision can depend on: the newest of each series, and where a rule needs past readings, all since
    the last retraining. Passing all of them each time would take minutes for a year of hours.
    """

    def __init__(self, policy: Policy) -> None:
        self._least = policy.evidence.min_rows
        self._past_readings = needs_of(*rules_of(policy)).past_readings
        self._newest: dict[tuple[str | None, ...], list[Signal]] = {}
        self._since: list[Signal] = []

    def add(self, signals: Iterable[Signal]) -> None:
        """The signals of one instant, later than all before."""
        counted = [signal for signal in signals if signal.rows is None or signal.rows >= self._least]
        measured: dict[tuple[str | None, ...], list[Signal]] = {}
        for signal in counted:
            measured.setdefault((signal.metric, *series_of(signal)), []).append(signal)
        self._newest |= measured
        if self._past_readings:
            self._since += counted

    def evidence(self, model_since: datetime | None) -> Evidence:
        """The evidence of a decision, given when the training of the serving model began."""
        newest = [signal for series in self._newest.values() for signal in series]
        if not self._past_readings:
            return Evidence(tuple(newest))
        if model_since is None:
            return Evidence(tuple(self._since))
        self._since = self._since[bisect_right(self._since, model_since, key=_at) :]
        return Evidence((*(signal for signal in newest if signal.at <= model_since), *self._since))


def _at(signal: Signal) -> datetime:
    return signal.at
