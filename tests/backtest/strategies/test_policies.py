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
def test_the_adaptive_rule_of_a_file_decides_as_the_baseline_does(turned: Benchmark, cost: float, late: int) -> None:
    baseline = replay(turned, adaptive(cost), labels_late=late).retrained
    assert retrained(turned, policy(ADAPTIVE), cost, late) == baseline != ()


def test_the_adaptive_rule_of_a_file_retrains_as_seldom_as_the_baseline_where_nothing_drifts(still: Benchmark) -> None:
    assert [retrained(still, policy(ADAPTIVE), cost) for cost in COSTS] == [()] * 4


def test_the_published_rule_of_a_file_reacts_to_a_turn_as_the_baseline_does(turned: Benchmark) -> None:
    # The signals are those of all surrogates, so that only the first retraining need be the same.
    baseline = replay(turned, published_gain_cusum(0.2)).retrained
    assert abs(retrained(turned, policy({"kind": "gain_cusum"}), 0.2)[0] - baseline[0]) <= 1


def test_a_cost_of_its_own_outweighs_the_one_it_is_replayed_with(turned: Benchmark) -> None:
    dear = policy({**ADAPTIVE, "cost": 100})
    assert retrained(turned, dear, 0.02) == ()


@pytest.mark.parametrize(("when", "weighs"), [(ADAPTIVE, True), ({"kind": "gain_cusum"}, True), (PSI, False)])
def test_a_policy_weighs_the_cost_only_where_a_rule_does(when: dict[str, Any], *, weighs: bool) -> None:
    assert policy(when).contender.weighs_cost is weighs
    assert policy({"kind": "not", "rule": {"kind": "all", "rules": [PSI, when]}}).contender.weighs_cost is weighs


def test_a_rule_with_a_cost_of_its_own_weighs_no_other() -> None:
    assert not policy({**ADAPTIVE, "cost": 1}).contender.weighs_cost
    assert policy(PSI, block_when=ADAPTIVE).contender.weighs_cost


@pytest.mark.parametrize(
    ("cooldown", "period", "every"),
    [("21d", WEEK, 3), ("21d", timedelta(days=21), 1), ("24h", WEEK, 1), ("15d", WEEK, 3)],
)
def test_cooldown_counts_by_period(turned: Benchmark, cooldown: str, period: timedelta, every: int) -> None:
    contender = policy(ALWAYS, period=period, limits={"cooldown": cooldown})
    assert retrained(turned, contender) == tuple(range(4, 17, every))


def test_a_budget_is_charged_for_each_retraining(turned: Benchmark) -> None:
    budget = {"unit": "EUR", "limit": 10, "window": "3650d", "per_retraining": 4}
    assert retrained(turned, policy(ALWAYS, limits={"budget": budget})) == (4, 5)


def test_metrics_no_stream_can_show_are_named() -> None:
    when = {"kind": "all", "rules": [PSI, ADAPTIVE, {"kind": "threshold", "metric": "Null_Value_Rate", "above": 0.1}]}
    block = {"kind": "cel", "expr": "x > 1.0", "variables": {"x": {"metric": "requests"}}}
    assert policy(when, block_when=block).unseen == {"nullvaluerate", "requests"}
    assert policy({"kind": "any", "rules": [PSI, ACCURACY, COEFFICIENT, BREACH]}).unseen == frozenset()


def test_a_policy_that_cannot_see_its_metric_never_retrains(turned: Benchmark) -> None:
    assert retrained(turned, policy({"kind": "threshold", "metric": "null_value_rate", "above": -1})) == ()


@pytest.mark.parametrize("stream", ["turned", "still", "shifted"])
def test_monitor_breach_decides_as_the_default_monitor_of_azure(stream: str, request: pytest.FixtureRequest) -> None:
    benchmark: Benchmark = request.getfixturevalue(stream)
    assert retrained(benchmark, policy(BREACH)) == replay(benchmark, azure_ml_default).retrained != ()


def test_a_monitor_asked_for_by_name_reports_as_any_other(shifted: Benchmark) -> None:
    named = policy({"kind": "monitor_breach", "signal": "drift-of-inputs"})
    twice = {"kind": "k_of_n", "k": 1, "n": 1, "of": {"kind": "monitor_breach", "signal": "Inputs"}}
    assert retrained(shifted, named) == retrained(shifted, policy(twice)) == retrained(shifted, policy(BREACH))


def test_accuracy_below_a_value_retrains_after_the_turn(turned: Benchmark) -> None:
    assert retrained(turned, policy(ACCURACY))[0] == 10
    assert retrained(turned, policy(ACCURACY), late=2)[0] == 12
    assert retrained(turned, policy({"kind": "performance_drop", "drop": 0.3}))[0] == 10


def test_a_shift_of_a_feature_is_seen_by_its_drift_until_retrained(shifted: Benchmark) -> None:
    assert retrained(shifted, policy(PSI))[0] == 7
    assert retrained(shifted, policy({**PSI, "feature": "first"})) == ()


def test_drift_coefficient_is_nothing_on_shuffled_rows_and_high_after_a_shift(shifted: Benchmark) -> None:
    mixed = replace(shifted, stream=shuffled(shifted.stream, 0))
    values = [domain_coefficient(Moment(mixed, batch, 3, batch)) or 0.0 for batch in range(4, 10)]
    assert max(values) < 0.3
    assert sum(values) / len(values) < 0.12
    told = [domain_coefficient(Moment(shifted, batch, 3, batch)) or 0.0 for batch in range(4, 10)]
    assert max(told[:3]) < 0.3
    assert min(told[3:]) > 0.7


def test_drift_coefficient_of_a_few_rows_is_not_known(shifted: Benchmark) -> None:
    few = replace(shifted, stream=first_batches(shifted.stream, 10, rows_of_last=2))
    assert domain_coefficient(Moment(few, 9, 3, 9)) is None
    assert retrained(few, policy({**COEFFICIENT, "above": -1.0}, limits={"cooldown": "0s"})) == (4, 5, 6, 7, 8)


@pytest.mark.parametrize("when", [ADAPTIVE, ACCURACY, PSI, COEFFICIENT, BREACH, {"kind": "gain_cusum"}])
def test_a_policy_decides_the_same_whatever_comes_later(
    turned: Benchmark, cut: Benchmark, when: dict[str, Any]
) -> None:
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
