"""A policy of a YAML file as a contender: what it reads of a stream, and that it decides as it would in production."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from anew.backtest import Benchmark, Moment, Stream, prepare, replay, shuffled
from anew.backtest.strategies.baselines import adaptive, azure_ml_default, published_gain_cusum
from anew.backtest.strategies.domain import domain_coefficient
from anew.backtest.strategies.policies import PolicyContender
from anew.cli.policy.backtest import placeholders
from anew.core.policies.text import read_policies

COSTS = (0.02, 0.05, 0.1, 0.2)
WEEK = timedelta(days=7)
ACCURACY = {"kind": "threshold", "metric": "accuracy", "below": 0.8}
PSI = {"kind": "threshold", "metric": "psi", "above": 0.2}
COEFFICIENT = {"kind": "threshold", "metric": "drift_coefficient", "above": 0.5}
ADAPTIVE = {"kind": "adaptive_gain_cusum"}
BREACH = {"kind": "monitor_breach"}
ALWAYS = {"kind": "any", "rules": [{"kind": "threshold", "metric": "accuracy", "below": 2}]}


def policy(when: dict[str, Any], *, period: timedelta = WEEK, **others: Any) -> PolicyContender:
    text = json.dumps({"apiVersion": "anew/v1", "when": when, **others})
    return PolicyContender(read_policies(text, "mine.yaml", placeholders())[0].policy, "mine", period)


def retrained(benchmark: Benchmark, contender: PolicyContender, cost: float = 0.1, late: int = 0) -> tuple[int, ...]:
    return replay(benchmark, contender.contender.decider_for(cost), labels_late=late).retrained


@pytest.mark.parametrize("late", [0, 2])
@pytest.mark.parametrize("cost", COSTS)
def test_adaptive_rule_equals_baseline(turned: Benchmark, cost: float, late: int) -> None:
    """The adaptive rule of a policy decides as the baseline does."""
    baseline = replay(turned, adaptive(cost), labels_late=late).retrained
    assert retrained(turned, policy(ADAPTIVE), cost, late) == baseline != ()


def test_adaptive_rule_without_drift(still: Benchmark) -> None:
    """Without drift the adaptive rule of a policy never retrains."""
    assert [retrained(still, policy(ADAPTIVE), cost) for cost in COSTS] == [()] * 4


def test_published_rule_follows_baseline(turned: Benchmark) -> None:
    """The published rule of a policy reacts to a change within one batch of the baseline."""
    # The signals are those of all surrogates, so that only the first retraining need be the same.
    baseline = replay(turned, published_gain_cusum(0.2)).retrained
    assert abs(retrained(turned, policy({"kind": "gain_cusum"}), 0.2)[0] - baseline[0]) <= 1


def test_own_cost_overrides_replay_cost(turned: Benchmark) -> None:
    """A cost set in the rule overrides the cost of the replay."""
    dear = policy({**ADAPTIVE, "cost": 100})
    assert retrained(turned, dear, 0.02) == ()


@pytest.mark.parametrize(("when", "weighs"), [(ADAPTIVE, True), ({"kind": "gain_cusum"}, True), (PSI, False)])
def test_only_some_rules_weigh_cost(when: dict[str, Any], *, weighs: bool) -> None:
    """A policy weighs the cost only where one of its rules does."""
    assert policy(when).contender.weighs_cost is weighs
    assert policy({"kind": "not", "rule": {"kind": "all", "rules": [PSI, when]}}).contender.weighs_cost is weighs


def test_own_cost_is_not_weighed() -> None:
    """A rule with its own cost does not weigh that of the replay, but one in `block_when` may."""
    assert not policy({**ADAPTIVE, "cost": 1}).contender.weighs_cost
    assert policy(PSI, block_when=ADAPTIVE).contender.weighs_cost


@pytest.mark.parametrize(
    ("cooldown", "period", "every"),
    [("21d", WEEK, 3), ("21d", timedelta(days=21), 1), ("24h", WEEK, 1), ("15d", WEEK, 3)],
)
def test_cooldown_counts_by_period(turned: Benchmark, cooldown: str, period: timedelta, every: int) -> None:
    """The cooldown is counted in batches of the given period."""
    contender = policy(ALWAYS, period=period, limits={"cooldown": cooldown})
    assert retrained(turned, contender) == tuple(range(4, 17, every))


def test_budget_is_charged(turned: Benchmark) -> None:
    """The budget is charged for each retraining."""
    budget = {"unit": "EUR", "limit": 10, "window": "3650d", "per_retraining": 4}
    assert retrained(turned, policy(ALWAYS, limits={"budget": budget})) == (4, 5)


def test_unseen_metrics_are_named() -> None:
    """Metrics that a stream cannot contain are named."""
    when = {"kind": "all", "rules": [PSI, ADAPTIVE, {"kind": "threshold", "metric": "Null_Value_Rate", "above": 0.1}]}
    block = {"kind": "cel", "expr": "x > 1.0", "variables": {"x": {"metric": "requests"}}}
    assert policy(when, block_when=block).unseen == {"nullvaluerate", "requests"}
    assert policy({"kind": "any", "rules": [PSI, ACCURACY, COEFFICIENT, BREACH]}).unseen == frozenset()


def test_unseen_metric_never_retrains(turned: Benchmark) -> None:
    """A policy that cannot see its metric never retrains."""
    assert retrained(turned, policy({"kind": "threshold", "metric": "null_value_rate", "above": -1})) == ()


@pytest.mark.parametrize("stream", ["turned", "still", "shifted"])
def test_monitor_breach_matches_azure(stream: str, request: pytest.FixtureRequest) -> None:
    """`monitor_breach` decides as the default monitor of Azure ML."""
    benchmark: Benchmark = request.getfixturevalue(stream)
    assert retrained(benchmark, policy(BREACH)) == replay(benchmark, azure_ml_default).retrained != ()


def test_named_monitor_reports_as_any(shifted: Benchmark) -> None:
    """A monitor required by name reports as any other."""
    named = policy({"kind": "monitor_breach", "signal": "drift-of-inputs"})
    twice = {"kind": "k_of_n", "k": 1, "n": 1, "of": {"kind": "monitor_breach", "signal": "Inputs"}}
    assert retrained(shifted, named) == retrained(shifted, policy(twice)) == retrained(shifted, policy(BREACH))


def test_low_accuracy_retrains(turned: Benchmark) -> None:
    """Low accuracy retrains right after the change, delayed by late labels."""
    assert retrained(turned, policy(ACCURACY))[0] == 10
    assert retrained(turned, policy(ACCURACY), late=2)[0] == 12
    assert retrained(turned, policy({"kind": "performance_drop", "drop": 0.3}))[0] == 10


def test_feature_drift_retrains(shifted: Benchmark) -> None:
    """A shift of one feature retrains by its own drift and not by that of another."""
    assert retrained(shifted, policy(PSI))[0] == 7
    assert retrained(shifted, policy({**PSI, "feature": "first"})) == ()


def test_drift_coefficient_after_shift(shifted: Benchmark) -> None:
    """The drift coefficient is low on shuffled rows and high after a shift."""
    mixed = replace(shifted, stream=shuffled(shifted.stream, 0))
    values = [domain_coefficient(Moment(mixed, batch, 3, batch)) or 0.0 for batch in range(4, 10)]
    assert max(values) < 0.3
    assert sum(values) / len(values) < 0.12
    told = [domain_coefficient(Moment(shifted, batch, 3, batch)) or 0.0 for batch in range(4, 10)]
    assert max(told[:3]) < 0.3
    assert min(told[3:]) > 0.7


def test_drift_coefficient_of_few_rows(shifted: Benchmark) -> None:
    """The drift coefficient of a few rows is unknown."""
    few = replace(shifted, stream=first_batches(shifted.stream, 10, rows_of_last=2))
    assert domain_coefficient(Moment(few, 9, 3, 9)) is None
    assert retrained(few, policy({**COEFFICIENT, "above": -1.0}, limits={"cooldown": "0s"})) == (4, 5, 6, 7, 8)


@pytest.mark.parametrize("when", [ADAPTIVE, ACCURACY, PSI, COEFFICIENT, BREACH, {"kind": "gain_cusum"}])
def test_decisions_ignore_later_batches(turned: Benchmark, cut: Benchmark, when: dict[str, Any]) -> None:
    """Later batches change no earlier decision of a policy."""
    for late in (0, 2):
        whole = retrained(turned, policy(when), late=late)
        assert retrained(cut, policy(when), late=late) == tuple(batch for batch in whole if batch < 13)


@pytest.fixture(scope="module")
def cut(turned: Benchmark) -> Benchmark:
    """The first 14 batches of the stream that turns."""
    return prepare(first_batches(turned.stream, 14), window=4)


def first_batches(stream: Stream, count: int, rows_of_last: int = 100) -> Stream:
    starts = stream.starts[: count + 1].copy()
    starts[-1] = starts[-2] + rows_of_last
    rows = slice(0, int(starts[-1]))
    table = {name: values[rows] for name, values in stream.table.items()}
    return replace(stream, features=stream.features[rows], labels=stream.labels[rows], starts=starts, table=table)
