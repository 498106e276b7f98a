from pathlib import Path

import numpy as np
import pytest

from anew.backtest import (
    Benchmark,
    Contender,
    Moment,
    Work,
    default_contenders,
    fixed_period,
    lowest_cost,
    prepare,
    read_stream,
    replay,
    run_backtest,
)
from anew.backtest.score import needless_retrainings, total_cost
from anew.core.drift import DriftValue
from tests.backtest.made_streams import stream_file

COSTS = (0.02, 0.05, 0.1, 0.2)


@pytest.mark.parametrize("contender", default_contenders(), ids=lambda contender: contender.name)
def test_no_policy_beats_the_oracle(turned: Benchmark, still: Benchmark, contender: Contender) -> None:
    """No policy costs less than the oracle."""
    for benchmark in (turned, still):
        for cost in COSTS:
            lowest, _ = lowest_cost(benchmark.accuracy, benchmark.first, cost)
            assert total_cost(replay(benchmark, contender.decider_for(cost)), cost) >= lowest - 1e-9


def test_replay_scores_later_batches(turned: Benchmark) -> None:
    """A replay scores every batch after the first window."""
    assert len(replay(turned, lambda _: True).accuracies) == turned.scored == 14


def test_fixed_period_retrains(turned: Benchmark) -> None:
    """A fixed period retrains once in that many batches."""
    assert replay(turned, fixed_period(1).decider_for(0.1)).retrained == tuple(range(4, 17))
    assert replay(turned, fixed_period(5).decider_for(0.1)).retrained == (8, 13)


def test_adaptive_rule_retrains_after_change(turned: Benchmark) -> None:
    """The adaptive rule retrains soon after a change, and rarely."""
    rule = next(each for each in default_contenders() if each.name == "adaptive-gain-cusum")
    played = replay(turned, rule.decider_for(0.1))
    assert played.retrained
    assert 10 <= played.retrained[0] <= 12
    assert len(played.retrained) <= 4


def test_adaptive_rule_without_drift(still: Benchmark) -> None:
    """Without drift the adaptive rule never retrains."""
    rule = next(each for each in default_contenders() if each.name == "adaptive-gain-cusum")
    assert [replay(still, rule.decider_for(cost)).retrained for cost in COSTS] == [()] * 4


def test_moments_exclude_later_batches(turned: Benchmark) -> None:
    """A moment contains nothing of later batches or of labels that are late."""
    seen: list[Moment] = []

    def watch(moment: Moment) -> bool:
        seen.append(moment)
        return moment.batch == 9

    replay(turned, watch, labels_late=2)
    late = seen[-1]
    assert (late.batch, late.champion, late.labelled, late.age) == (16, 9, 14, 7)
    assert len(late.accuracies) == 5
    assert late.gains.pending == 2
    assert len(late.gains.gains) == 4
    just_trained = seen[6]
    assert (just_trained.champion, just_trained.labelled, just_trained.accuracies) == (9, 9, ())


def test_drift_names_each_feature(turned: Benchmark) -> None:
    """The drift of a moment names each feature."""
    moment = Moment(turned, batch=10, champion=3, labelled=10)
    assert {drift.feature for drift in moment.drift() if isinstance(drift, DriftValue)} == {"first", "second"}


def test_needless_retraining() -> None:
    """A retraining is needless if its model is no better than the one before, until the next."""
    accuracy = np.full((6, 6), np.nan)
    accuracy[0, 1:] = [0.8, 0.8, 0.8, 0.5, 0.5]
    accuracy[2, 3:] = [0.8, 0.9, 0.9]  # no better on batch 3, which is all it serves
    accuracy[3, 4:] = [0.95, 0.9]
    assert needless_retrainings(accuracy, 0, (2, 3)) == 1
    assert needless_retrainings(accuracy, 0, (2,)) == 0
    assert needless_retrainings(accuracy, 0, ()) == 0


def test_cached_backtest_trains_nothing(tmp_path: Path) -> None:
    """A cached backtest gives the same report without training, and a damaged cache is ignored."""
    stages: list[str] = []

    def hear(stage: str, done: int, total: int) -> None:
        stages.append(stage)

    stream = read_stream(stream_file(tmp_path, batches=9, turn_at=6), label="label", batch="week", window=4)
    work = Work(cache=tmp_path / "cache", progress=hear)
    first = run_backtest(stream, window=4, work=work)
    assert {"training", "replays"} == set(stages)
    stages.clear()
    assert run_backtest(stream, window=4, work=work) == first
    assert set(stages) == {"replays"}
    for broken in (tmp_path / "cache").iterdir():
        broken.write_bytes(b"PK")
    assert run_backtest(stream, window=4, work=work) == first


def test_two_processes_agree(tmp_path: Path) -> None:
    """Two processes give the same as one."""
    stream = read_stream(stream_file(tmp_path, batches=8, turn_at=6), label="label", batch="week", window=4)
    one, two = (prepare(stream, window=4, work=Work(processes=count)) for count in (1, 2))
    np.testing.assert_array_equal(one.accuracy, two.accuracy)
    np.testing.assert_array_equal(one.gains.gain, two.gains.gain)


def test_report_covers_policies_and_costs(tmp_path: Path) -> None:
    """A report scores each policy at each cost and averages the seeds."""
    stream = read_stream(stream_file(tmp_path, batches=9, turn_at=6), label="label", batch="week", window=4)
    chosen = [fixed_period(2), Contender("mine", lambda cost: lambda moment: cost < 0.1 and moment.age >= 3)]
    report = run_backtest(stream, chosen, costs=(0.05, 0.2), seeds=(0, 1), window=4)
    assert report.policies == ("oracle", "best-fixed-in-hindsight", "every-2-batches", "mine")
    assert [each.retrains for each in report.of("mine")] == [1, 0]
    assert all(each.excess_cost == pytest.approx(0) for each in report.of("oracle"))
    assert set(report.as_json()["scores"][0]) == {
        "policy", "lambda", "accuracy", "retrains", "needless", "cost", "excess_cost"
    }  # fmt: skip
    assert report.oracle_needs(0) == 0
    assert report.oracle_needs(1.1) is None
