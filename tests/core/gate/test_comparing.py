"""Comparing scored rows: the metrics against scikit-learn and plain loops, resampling, blocks, slices and hashes."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sklearn_metrics

from anew.core.gate import EvaluationResult, GateOutcome, Method, compare, judge_gate
from anew.core.gate.auc import checked_auc
from anew.core.gate.metric import GateMetric
from anew.core.gate.paired import Means, paired_errors, paired_f1, standard_error
from anew.core.gate.resampling import Replicates, resample
from anew.errors import InvalidTable
from tests.core.gate.samples import classified, gate, predicted

BY_METRIC: dict[str, dict[str, Any]] = {
    "accuracy": {},
    "f1": {"metric": "f1"},
    "auc": {"metric": "auc"},
    "mae": {"metric": "mae"},
    "rmse": {"metric": "rmse"},
    "cost": {"metric": "cost", "worse": "above"},
    "accuracy by day": {"block": "day"},
    "f1 by day": {"metric": "f1", "block": "day"},
    "auc by day": {"metric": "auc", "block": "day"},
    "mae by day": {"metric": "mae", "block": "day"},
}


def rows_for(metric: str, rows: int = 800, seed: int = 0) -> dict[str, Any]:
    table = predicted(rows, seed=seed) if metric.startswith(("mae", "rmse")) else classified(rows, seed=seed)
    rng = np.random.default_rng(seed + 1)
    return {**table, "champion_cost": rng.gamma(2.0, size=rows), "challenger_cost": rng.gamma(2.0, size=rows)}


def swapped(rows: dict[str, Any]) -> dict[str, Any]:
    other = {"champion": "challenger", "challenger": "champion"}
    return {"_".join(other.get(part, part) for part in name.split("_")): column for name, column in rows.items()}


def bounds(report: EvaluationResult, asked: dict[str, Any]) -> tuple[float, float]:
    judged = judge_gate(gate(**asked), report)
    assert judged.lower is not None
    assert judged.upper is not None
    return judged.lower, judged.upper


# --- the metrics ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 4])
def test_f1_matches_scikit_learn(classes: int) -> None:
    """F1 equals that of scikit-learn."""
    rows = classified(500, errors=(0.3, 0.2), classes=classes)
    report = compare(rows, gate(metric="f1"))
    how = {"average": "binary" if classes == 2 else "macro"}
    for name, value in (("champion", report.champion), ("challenger", report.challenger)):
        assert value == pytest.approx(sklearn_metrics.f1_score(rows["label"], rows[name], **how), abs=1e-8)


def test_f1_averages_over_labels() -> None:
    """Macro F1 is averaged over the labels only, not over classes that only models name."""
    rows = {
        "label": ["cat", "dog", "cat", "dog", "cow"] * 4,
        "champion": ["cat", "dog", "fox", "dog", "cat"] * 4,
        "challenger": ["cat", "cat", "cat", "dog", "cow"] * 4,
    }
    report = compare(rows, gate(metric="f1"))
    for name, value in (("champion", report.champion), ("challenger", report.challenger)):
        kept = ["cat", "cow", "dog"]
        expected = sklearn_metrics.f1_score(rows["label"], rows[name], average="macro", labels=kept)
        assert value == pytest.approx(expected, abs=1e-8)


def test_errors_match_scikit_learn() -> None:
    """MAE and RMSE equal those of scikit-learn, and a smaller error is better."""
    rows = predicted(400, worse=0.5)
    mae, rmse = (compare(rows, gate(metric=metric)) for metric in ("mae", "rmse"))
    assert mae.champion == pytest.approx(sklearn_metrics.mean_absolute_error(rows["label"], rows["champion"]))
    assert rmse.challenger == pytest.approx(sklearn_metrics.root_mean_squared_error(rows["label"], rows["challenger"]))
    for report in (mae, rmse):
        assert report.interval is not None
        assert report.champion is not None
        assert report.interval.difference == pytest.approx(report.champion - report.challenger)
        assert report.interval.difference < 0


@given(st.integers(0, 10**6), st.integers(4, 60))
def test_auc_matches_all_pairs(seed: int, count: int) -> None:
    """AUC and its standard error equal those computed from all pairs."""
    rng = np.random.default_rng(seed)
    positive = np.arange(count) % 2 == 0
    scores = [rng.integers(0, 6, count).astype(float) for _ in range(2)]  # many ties
    # psi[i, j]: is positive i above negative j, ties half; its row and column means are the components of DeLong.
    psi = [np.sign(each[positive][:, None] - each[~positive][None, :]) / 2 + 0.5 for each in scores]
    difference = psi[1] - psi[0]
    expected = math.sqrt(
        difference.mean(axis=1).var(ddof=1) / len(difference)
        + difference.mean(axis=0).var(ddof=1) / difference.shape[1]
    )
    auc = checked_auc(positive, *scores)
    assert auc.values() == pytest.approx([each.mean() for each in psi])
    assert auc.values() == pytest.approx([sklearn_metrics.roc_auc_score(positive, each) for each in scores])
    assert auc.standard_error() == pytest.approx(expected, abs=1e-12)


def test_custom_column_is_averaged() -> None:
    """A column written by the evaluation is averaged over its rows."""
    rows = rows_for("cost")
    report = compare(rows, gate(metric="cost", worse="above"))
    assert (report.champion, report.challenger) == pytest.approx(
        (rows["champion_cost"].mean(), rows["challenger_cost"].mean())
    )
    paired = stats.ttest_rel(rows["champion_cost"], rows["challenger_cost"])
    assert report.interval is not None
    assert report.interval.difference / report.interval.standard_error == pytest.approx(paired.statistic)


# --- resampling -------------------------------------------------------------------------------------------


def naive(rows: dict[str, Any], value: Any, replicates: int = 2000) -> tuple[float, float]:
    """Percentiles of the difference over tables of rows drawn with replacement."""
    rng = np.random.default_rng(3)
    count = len(rows["label"])
    found = []
    for _ in range(replicates):
        drawn = rng.integers(0, count, count)
        label, champion, challenger = (rows[name][drawn] for name in ("label", "champion", "challenger"))
        found.append(value(label, challenger) - value(label, champion))
    return tuple(np.quantile(found, [0.05, 0.95]).tolist())


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("f1", lambda label, answer: 2 * (label & answer).sum() / (label.sum() + answer.sum())),
        ("mae", lambda label, answer: -np.abs(label - answer).mean()),
        ("rmse", lambda label, answer: -np.sqrt(((label - answer) ** 2).mean())),
    ],
)
def test_bootstrap_matches_naive(metric: str, value: Any) -> None:
    """The fast bootstrap gives the bounds of the naive one."""
    rows = rows_for(metric, rows=1500)
    lower, upper = bounds(compare(rows, gate(metric=metric)), {"metric": metric})
    expected = naive(rows, value)
    slack = 0.1 * (expected[1] - expected[0])  # of groups 4 %, of 2000 replicates about 2 %
    assert (lower, upper) == pytest.approx(expected, abs=slack)


def test_f1_of_many_classes_uses_groups() -> None:
    """F1 of very many classes is resampled by groups."""
    rows = classified(3000, classes=20, errors=(0.3, 0.3))
    rows["champion"] = np.where(rows["champion"] != rows["label"], (rows["day"] * 7) % 20, rows["champion"])
    f1 = paired_f1(rows["label"], rows["champion"], rows["challenger"])
    drawn = resample(f1, None, seed=1, replicates=4000)
    assert drawn.units == 256
    assert drawn.standard_error() == pytest.approx(standard_error(f1, None)[0], rel=0.15)


@pytest.mark.parametrize("metric", ["f1", "rmse", "mae"])
def test_expansion_matches_bootstrap(metric: str) -> None:
    """The standard error by expansion equals that of the bootstrap."""
    rows = rows_for(metric, rows=2000)
    columns = rows["label"], rows["champion"], rows["challenger"]
    paired = paired_f1(*columns) if metric == "f1" else paired_errors(GateMetric(metric), *columns)
    assert resample(paired, None, seed=4).standard_error() == pytest.approx(standard_error(paired, None)[0], rel=0.12)
    assert paired.contributions().sum() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("units", [12, 60])
def test_normal_bounds_match_student(units: int) -> None:
    """The bounds of a normal mean equal those of Student."""
    deviation = 0.3  # of the bootstrap, which is that of the mean times the root of (units - 1) / units
    drawn = Replicates(stats.norm.ppf((np.arange(100_000) + 0.5) / 100_000) * deviation, units)
    reach = stats.t.ppf(0.95, units - 1) * deviation * math.sqrt(units / (units - 1))
    assert drawn.bounds(0.95) == pytest.approx((-reach, reach), rel=0.01)


def test_bounds_keep_their_level() -> None:
    """The bounds keep their level for independent rows and for few blocks."""
    rng = np.random.default_rng(12)
    for units, size in ((120, 1), (15, 20)):
        above = below = 0
        for seed in range(600):
            shift = np.repeat(rng.normal(size=units), size)
            difference = shift + rng.normal(size=units * size)
            blocks = None if size == 1 else np.repeat(np.arange(units), size)
            means = Means(np.zeros(len(difference)), difference, better=1)
            lower, upper = resample(means, blocks, seed, replicates=600).bounds(0.95)
            above += lower > 0
            below += upper < 0
        slack = 3.5 * math.sqrt(0.05 * 0.95 / 600)
        assert (above / 600, below / 600) == pytest.approx((0.05, 0.05), abs=slack), units


def test_report_is_deterministic() -> None:
    """The same rows give the same report, and other rows another."""
    one, again, other = (compare(rows_for("f1", seed=seed), gate(metric="f1")) for seed in (0, 0, 1))
    assert one == again != other


# --- blocks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["accuracy", "f1", "auc", "mae", "rmse"])
def test_copies_count_as_one_row(metric: str) -> None:
    """A block of copies is worth one row."""
    rows = rows_for(metric, rows=300)
    rows["day"] = np.arange(300)
    copies = {name: np.repeat(column, 16) for name, column in rows.items()}
    single, blind, aware = (
        bounds(compare(table, gate(metric=metric, block=block)), {"metric": metric, "block": block})
        for table, block in ((rows, "day"), (copies, None), (copies, "day"))
    )
    width, blind_width, aware_width = (upper - lower for lower, upper in (single, blind, aware))
    assert aware_width == pytest.approx(width, rel=0.2)  # the deviation of 256 groups is known to 4 %, twice
    assert blind_width == pytest.approx(width / 4, rel=0.2)


def test_one_row_blocks_match_rows() -> None:
    """Blocks of one row give the bounds of independent rows."""
    rows = classified(2000)
    rows["row"] = np.arange(2000)
    alone = bounds(compare(rows, gate()), {})
    assert bounds(compare(rows, gate(block="row")), {"block": "row"}) == pytest.approx(alone, abs=0.003)


def test_one_row_blocks_match_delong() -> None:
    """AUC by blocks of one row has the error of DeLong, also when one class is rare."""
    rng = np.random.default_rng(0)
    positive = np.arange(2000) % 20 == 0
    auc = checked_auc(positive, positive + rng.normal(size=2000), positive + rng.normal(size=2000))
    assert standard_error(auc, np.arange(2000))[0] == pytest.approx(standard_error(auc, None)[0], rel=0.01)


def test_few_blocks_are_inconclusive() -> None:
    """Too few blocks are inconclusive."""
    rows = classified(1000, errors=(0.4, 0.05))
    rows["day"] = np.arange(1000) // 200
    judged = judge_gate(gate(block="day"), compare(rows, gate(block="day")))
    assert judged.outcome is GateOutcome.INCONCLUSIVE
    assert "differ on 5 of 5 blocks of day, and 10 are needed" in judged.sentence


def test_one_block_is_inconclusive() -> None:
    """One block is inconclusive and not an error."""
    rows = classified(1000, errors=(0.4, 0.05))
    rows["day"] = np.zeros(1000)
    report = compare(rows, gate(metric="f1", block="day"))
    assert judge_gate(gate(metric="f1", block="day"), report).outcome is GateOutcome.INCONCLUSIVE


# --- symmetry ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", BY_METRIC)
def test_swapping_models_mirrors_bounds(metric: str) -> None:
    """Swapping the models mirrors the bounds."""
    asked, rows = BY_METRIC[metric], rows_for(metric)
    lower, upper = bounds(compare(rows, gate(**asked)), asked)
    slack = 1e-9 if metric in ("accuracy", "auc", "auc by day") else 0.05 * (upper - lower)
    assert bounds(compare(swapped(rows), gate(**asked)), asked) == pytest.approx((-upper, -lower), abs=slack)


@settings(max_examples=15)
@given(st.sampled_from(sorted(BY_METRIC)), st.integers(0, 10**6))
def test_row_order_changes_hash_only(metric: str, seed: int) -> None:
    """The order of rows changes the hash, and the bounds only by the noise of resampling."""
    asked, rows = BY_METRIC[metric], rows_for(metric)
    order = np.random.default_rng(seed).permutation(len(rows["label"]))
    one, other = (compare(table, gate(**asked)) for table in (rows, {name: col[order] for name, col in rows.items()}))
    assert one.data_hash != other.data_hash
    assert (one.champion, one.challenger, one.counts) == pytest.approx((other.champion, other.challenger, other.counts))
    lower, upper = bounds(one, asked)
    slack = 1e-8 if metric in ("accuracy", "auc", "auc by day") else 0.2 * (upper - lower)
    assert bounds(other, asked) == pytest.approx((lower, upper), abs=slack)


# --- slices and floors ------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["accuracy", "f1", "auc", "mae", "accuracy by day"])
def test_broken_slice_rejects(metric: str) -> None:
    """A broken slice is the worst and rejects the challenger."""
    rows = rows_for(metric, rows=4000)
    rows["region"] = classified(4000)["region"]
    broken = rows["region"] == "sea"
    for name in ("challenger", "challenger_score"):
        if name in rows:
            noise = np.random.default_rng(1).normal(size=4000) * 3
            guess = noise if name == "challenger_score" or metric == "mae" else (noise > 0).astype(int)
            rows[name] = np.where(broken, guess, rows[name])
    asked = {**BY_METRIC[metric], "slices": {"columns": ["region"], "margin": 0.05}}
    judged = judge_gate(gate(**asked), compare(rows, gate(**asked)))
    assert judged.outcome is GateOutcome.REJECT
    assert [item.name for item in judged.slices if item.state == "worse"] == ["region=sea"]
    assert (judged.slices[0].name, judged.slices_judged) == ("region=sea", 5)


def test_slice_false_alarms_are_bounded() -> None:
    """Slices of an equal model are called worse at most at the stated rate."""
    asked = gate(slices={"columns": ["day"], "margin": 0.0, "min_rows": 50})
    alarms = 0
    for seed in range(300):
        rows = classified(2000, seed=seed, errors=(0.2, 0.2))
        rows["day"] = np.arange(2000) // 100
        alarms += any(item.state == "worse" for item in judge_gate(asked, compare(rows, asked)).slices)
    assert alarms / 300 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 300)


def test_slice_test_matches_student() -> None:
    """The test of a slice equals that of Student."""
    rows = {**predicted(600, worse=0.3), "region": classified(600)["region"]}
    asked = gate(metric="mae", slices={"columns": ["region"], "margin": 0.1})
    report = compare(rows, asked)
    assert report.slices is not None
    for item in report.slices.worst:
        inside = rows["region"] == item.name.partition("=")[2]
        label, champion, challenger = (rows[name][inside] for name in ("label", "champion", "challenger"))
        gain = np.abs(champion - label) - np.abs(challenger - label)
        expected = stats.ttest_1samp(gain, -0.1, alternative="less")
        assert (item.rows, item.difference) == (inside.sum(), pytest.approx(gain.mean()))
        assert item.p_value == pytest.approx(expected.pvalue, rel=0.01)


def test_slice_f1_uses_its_classes() -> None:
    """Macro F1 of a slice is over the classes that it has."""
    rows = classified(900, classes=3, errors=(0.3, 0.1))
    rows["part"] = np.where(rows["label"] == 2, "third", "others")
    report = compare(rows, gate(metric="f1", slices={"columns": ["part"]}))
    assert report.slices is not None
    found = {item.name: item.difference for item in report.slices.worst}
    others = rows["part"] == "others"
    scores = [
        sklearn_metrics.f1_score(rows["label"][others], rows[name][others], average="macro", labels=[0, 1])
        for name in ("champion", "challenger")
    ]
    assert found["part=others"] == pytest.approx(scores[1] - scores[0])


def test_small_slices_are_unjudged() -> None:
    """Slices too small or without both classes count as unjudged."""
    rows = classified(600)
    rows["part"] = np.where(np.arange(600) < 20, "tiny", np.where(rows["label"] == 1, "positive", "mixed"))
    rows["part"][20:120] = "mixed"
    report = compare(rows, gate(metric="auc", slices={"columns": ["part"]}))
    assert report.slices is not None
    assert (report.slices.judged, report.slices.unjudged) == (1, 2)


def test_floors_use_rows_or_figures() -> None:
    """Floors are computed from the rows or taken from the given figures."""
    asked = gate(
        metric="f1",
        floors=[
            {"metric": "accuracy", "at_least": 0.5},
            {"metric": "cost", "at_most": 9},
            {"metric": "size_mb", "at_most": 9},
            {"metric": "absent", "at_most": 9},
        ],
    )
    rows = rows_for("f1")
    report = compare(rows, asked, figures={"size_mb": 3.5})
    expected = (rows["challenger"] == rows["label"]).mean(), rows["challenger_cost"].mean(), 3.5
    assert tuple(report.figures.values()) == pytest.approx(expected)


# --- tables -----------------------------------------------------------------------------------------------


def test_no_champion_no_comparison() -> None:
    """Without the column of the champion nothing is compared."""
    rows = classified(300)
    del rows["champion"]
    report = compare(rows, gate(metric="f1", slices={"columns": ["region"]}))
    assert (report.champion, report.interval, report.slices) == (None, None, None)
    assert judge_gate(gate(metric="f1"), report).outcome is GateOutcome.PROMOTE


def test_data_frame_equals_dict() -> None:
    """A data frame and a dict of arrays give the same report."""
    rows = classified(300)
    asked = gate(metric="f1", slices={"columns": ["region"]})
    assert compare(pd.DataFrame(rows), asked) == compare(rows, asked)


def test_data_hash_follows_the_data() -> None:
    """The data hash follows the data and not the answers of the models."""
    rows = classified(300)
    other = {**rows, "challenger": 1 - rows["challenger"]}
    moved = {**rows, "day": rows["day"] + 1}
    one, answered, changed = (compare(table, gate()) for table in (rows, other, moved))
    assert one.data_hash == answered.data_hash != changed.data_hash
    assert one.scored_hash != answered.scored_hash
    narrow = {**rows, "label": rows["label"].astype(np.int8)}
    assert compare(narrow, gate()).data_hash == one.data_hash


@pytest.mark.parametrize(
    ("rows", "asked", "wrong"),
    [
        ({}, {}, "columns of one length"),
        ({"label": [], "champion": [], "challenger": []}, {}, "no scored rows"),
        ({"label": [1, 0], "challenger": [1]}, {}, "columns of one length"),
        ({"label": [1, 0], "champion": [1, 0]}, {}, "no column 'challenger'"),
        ({"label": [1, None], "champion": [1, 0], "challenger": [1, 0]}, {}, "no value in 1 of 2 rows"),
        ({"label": ["a", "b"], "challenger": ["a", "b"]}, {"metric": "mae"}, "must hold numbers"),
        ({"label": [0, 1], "challenger_score": [0.1, np.inf]}, {"metric": "auc"}, "not finite"),
        ({"label": [0, 0], "challenger_score": [0.1, 0.2]}, {"metric": "auc"}, "has 1"),
        ({"label": [0, 1], "challenger_score": [0.1, 0.2]}, {"metric": "auc"}, "two rows of each class"),
        ({"label": [0, 1], "challenger": [0, 1], "champion": [1, 1]}, {"block": "day"}, "no column 'day'"),
    ],
)
def test_incomparable_rows_are_refused(rows: dict[str, Any], asked: dict[str, Any], wrong: str) -> None:
    """Rows that cannot be compared are refused with the reason."""
    with pytest.raises(InvalidTable, match=wrong):
        compare(rows, gate(**asked))


@pytest.mark.parametrize(
    ("metric", "method"),
    [
        ("f1", Method.PAIRED_BOOTSTRAP),
        ("auc", Method.DELONG),
        ("auc by day", Method.CLUSTERED_DELONG),
        ("accuracy by day", Method.BLOCK_BOOTSTRAP),
    ],
)
def test_report_names_its_method(metric: str, method: Method) -> None:
    """The report names the method of its interval."""
    report = compare(rows_for(metric), gate(**BY_METRIC[metric]))
    assert report.interval is not None
    assert report.interval.method is method
