"""A YAML policy as a contender: at each batch it decides on the signals of the stream, as it would in production."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

from anew.backtest.strategies.baselines import Contender
from anew.backtest.strategies.domain import domain_coefficient
from anew.backtest.strategies.replay import Decider, Moment
from anew.core.base.metrics import canonical_metric
from anew.core.decisions.decide import CompiledPolicy, compile_policy, decide
from anew.core.decisions.decision import Outcome
from anew.core.drift import DriftValue, Metric
from anew.core.evidence.history import Attempt, AttemptState, History
from anew.core.evidence.signals import Evidence, Signal
from anew.core.gain.signals import AGEING, ANTICIPATED, GAIN, PENDING, SHORTFALL, TYPICAL_ERROR, signals_of_gain
from anew.core.policies.policy import Policy
from anew.core.rules.rule import Rule, needs_of

SOURCE = "stream"
START = datetime(2000, 1, 3, tzinfo=UTC)
AZURE_THRESHOLD = 0.1
_DRIFT = {canonical_metric(metric): metric for metric in Metric}
_GAIN = frozenset(canonical_metric(name) for name in (GAIN, SHORTFALL, AGEING, ANTICIPATED, TYPICAL_ERROR, PENDING))
_ACCURACY, _ERROR, _COEFFICIENT = (canonical_metric(name) for name in ("accuracy", "error_rate", "drift_coefficient"))
SHOWN = frozenset(_DRIFT) | _GAIN | {_ACCURACY, _ERROR, _COEFFICIENT}


@dataclass(frozen=True)
class PolicyContender:
    """A policy to be replayed. `period` is the time that a batch stands for: cooldowns and windows count by it."""

    policy: Policy
    name: str
    period: timedelta = timedelta(days=7)

    @cached_property
    def contender(self) -> Contender:
        """The policy as a contender; the cost it weighs is the one it is replayed with."""
        return Contender(self.name, self._decider_for, weighs_cost=needs_of(*rules_of(self.policy)).cost)

    @cached_property
    def unseen(self) -> frozenset[str]:
        """Metrics the policy needs and a stream does not have; rules on them stay unknown."""
        return needs_of(*rules_of(self.policy)).metrics - SHOWN

    def _decider_for(self, cost: float) -> Decider:
        retrain = self.policy.retrain.model_copy(update={"cost": cost or self.policy.retrain.cost})
        compiled = compile_policy(self.policy.model_copy(update={"retrain": retrain}))
        reader = _Reader(self.policy, self.period)
        return lambda moment: _decide(compiled, reader, moment)


def would_have_retrained(policy: Policy, times: Iterable[datetime]) -> History:
    """The history of retrainings at these times, oldest first, of which each passed the gate and was charged for."""
    budget = policy.limits.budget
    charge = budget.per_retraining if budget else None
    attempts = [Attempt(f"r-{number}", at, AttemptState.REGISTERED, charge) for number, at in enumerate(times, 1)]
    return History(tuple(reversed(attempts)))


def rules_of(policy: Policy) -> list[Rule]:
    """The rules of a policy: `when`, and `block_when` if it has one."""
    return [rule for rule in (policy.when, policy.block_when) if rule is not None]


def _decide(compiled: CompiledPolicy, reader: "_Reader", moment: Moment) -> bool:
    evidence = Evidence(tuple(reader.signals(moment)))
    decision = decide(compiled, evidence, reader.history(moment), reader.at(moment.batch))
    return decision.outcome is Outcome.RETRAIN


class _Reader:
    """Reads a policy's signals of a moment: only the metrics its rules need, because some take long to compute."""

    def __init__(self, policy: Policy, period: timedelta) -> None:
        self._policy = policy
        self._period = period
        self._needs = needs_of(*rules_of(policy))
        self._monitors = frozenset(name or policy.monitors[0] for name in self._needs.monitors)

    def at(self, batch: int) -> datetime:
        """When a batch ended."""
        return START + (batch + 1) * self._period

    def history(self, moment: Moment) -> History:
        return would_have_retrained(self._policy, [self.at(batch) for batch in moment.retrained])

    def signals(self, moment: Moment) -> list[Signal]:
        signals: list[Signal] = []
        if self._needs.metrics & {_ACCURACY, _ERROR}:
            signals += self._performance(moment)
        if self._needs.metrics & _GAIN:
            served = range(moment.champion + 2, moment.labelled + 1)
            signals += signals_of_gain(moment.gains, [self.at(b) for b in served], self.at(moment.batch), SOURCE)
        if drift := [metric for name, metric in _DRIFT.items() if name in self._needs.metrics]:
            signals += self._drift(moment, drift)
        if self._monitors:
            signals += self._monitor(moment)
        if _COEFFICIENT in self._needs.metrics:
            value = domain_coefficient(moment)
            signals.append(Signal("drift_coefficient", value, SOURCE, self.at(moment.batch)))
        return signals

    def _batches(self, moment: Moment) -> range:
        first = moment.champion + 1 if self._needs.past_readings else moment.batch
        return range(first, moment.batch + 1)

    def _performance(self, moment: Moment) -> list[Signal]:
        signals: list[Signal] = []
        for batch, accuracy in enumerate(moment.accuracies, start=moment.champion + 1):
            rows = int(moment.stream.rows[batch])
            signals.append(Signal("accuracy", accuracy, SOURCE, self.at(batch), rows=rows))
            signals.append(Signal("error_rate", 1 - accuracy, SOURCE, self.at(batch), rows=rows))
        return signals

    def _drift(self, moment: Moment, metrics: Sequence[Metric]) -> list[Signal]:
        return [
            Signal(
                str(drift.metric), drift.value, SOURCE, self.at(batch), drift.feature,
                rows=drift.rows.window, noise_floor=drift.noise_floor,
            )
            for batch in self._batches(moment)
            for drift in moment.benchmark.drift.between(moment.champion, batch, tuple(metrics))
            if isinstance(drift, DriftValue)
        ]  # fmt: skip

    def _monitor(self, moment: Moment) -> list[Signal]:
        """The reports of Azure ML's default monitor, breached or not, on each batch since the training."""
        return [
            Signal(
                str(drift.metric), drift.value, SOURCE, self.at(batch), drift.feature,
                threshold=AZURE_THRESHOLD, monitor=monitor,
            )
            for monitor in self._monitors
            for batch in self._batches(moment)
            for drift in tool_distances(moment, batch)
        ]  # fmt: skip


def tool_distances(moment: Moment, batch: int) -> list[DriftValue]:
    """Wasserstein of each numeric feature and Jensen-Shannon of each other, as tools take by default."""
    table = moment.benchmark.drift.between(moment.champion, batch, (Metric.JENSEN_SHANNON, Metric.WASSERSTEIN))
    chosen = {drift.feature: drift for drift in table if isinstance(drift, DriftValue)}
    return list(chosen.values())
