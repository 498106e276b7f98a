"""From scored rows to an evaluation: both models' metric, bounds of the difference, slices, and figures for floors."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from anew.core.gate.auc import Auc, checked_auc
from anew.core.gate.evaluation import EvaluationResult, Interval, Method, PairedCounts
from anew.core.gate.metric import GateMetric, better_sign, metric_named, same_metric
from anew.core.gate.paired import Means, Resampled, paired_errors, paired_f1, standard_error
from anew.core.gate.report import parse_evaluation, report_text
from anew.core.gate.resampling import resample, seed_of
from anew.core.gate.scored import CHALLENGER, CHAMPION, LABEL, Booleans, Columns, Ints, ScoredRows
from anew.core.gate.slicing import WORST_TOLD, report_slices
from anew.core.policies.gate import Gate
from anew.core.statistics.tails import student_quantile
from anew.errors import InvalidTable

Measured = Resampled | Auc


def compare(
    columns: Columns,
    gate: Gate,
    *,
    figures: Mapping[str, float] | None = None,
    data_hash: str = "",
    slices_told: int = WORST_TOLD,
) -> EvaluationResult:
    """The evaluation of rows that both models have scored.

    columns are a data frame or a dict of arrays: `label`; `champion` and `challenger`, the predicted classes or values;
    for auc `champion_score` and `challenger_score`; for a metric that anew does not know `champion_<metric>` and
    `challenger_<metric>`, which are averaged; and columns that describe the rows, such as the gate's slices and block.
    Without the champion's column nothing is compared. `figures` are other values of the challenger for the gate's
    floors, such as its size; floors on metrics and columns are computed. data_hash identifies the rows; by default it
    is the hash of every column that no model wrote. `slices_told` is the number of slices in the report.

    The same rows give the same result: the bootstrap's seed is the rows' hash. Raises InvalidTable for columns that are
    missing, incomplete or of the wrong kind.
    """
    rows = ScoredRows(columns)
    data_hash = data_hash or rows.data_hash()
    opposed = _column(gate.metric, CHAMPION) in rows
    names = [_column(gate.metric, model) for model in (CHAMPION if opposed else CHALLENGER, CHALLENGER)]
    metric = _paired(rows, gate.metric, names, better_sign(gate))
    champion, challenger = metric.values()
    result = EvaluationResult(
        rows=rows.rows,
        data_hash=data_hash,
        challenger=challenger,
        metric=gate.metric,
        block=gate.block,
        figures={**_floor_figures(rows, gate), **(figures or {})},
        scored_hash=rows.scored_hash(data_hash),
    )
    if opposed:
        blocks = rows.groups(gate.block)[1] if gate.block else None
        result = replace(
            result,
            champion=champion,
            counts=_counts(metric) if metric_named(gate.metric) is GateMetric.ACCURACY else None,
            interval=_interval(gate, metric, blocks, seed_of(data_hash, gate.metric)),
            slices=report_slices(rows, gate.slices, metric, blocks, told=slices_told) if gate.slices else None,
        )
    return parse_evaluation(report_text(result))  # the same digits as in the tag, so that both give the same verdict


def _column(metric: str, model: str) -> str:
    """The column of this model's answers, as the metric needs them."""
    match metric_named(metric):
        case GateMetric.AUC:
            return f"{model}_score"
        case None:
            return f"{model}_{metric}"
        case _:
            return model


def _paired(rows: ScoredRows, metric: str, names: Sequence[str], better: int) -> Measured:
    kind = metric_named(metric)
    match kind:
        case None:
            before, after = (rows.numbers(name) for name in names)
            return Means(before, after, better)
        case GateMetric.MAE | GateMetric.RMSE:
            label, before, after = (rows.numbers(name) for name in (LABEL, *names))
            return paired_errors(kind, label, before, after)
        case GateMetric.AUC:
            before, after = (rows.numbers(name) for name in names)
            return checked_auc(_positive(rows), before, after)
        case GateMetric.ACCURACY:
            label, before, after = (rows.complete(name) for name in (LABEL, *names))
            return Means(
                (before == label).astype(np.float64), (after == label).astype(np.float64), better, counted=True
            )
        case GateMetric.F1:
            return paired_f1(*(rows.complete(name) for name in (LABEL, *names)))


def _positive(rows: ScoredRows) -> Booleans:
    """Which rows are of the positive class, the greater of two."""
    label = rows.complete(LABEL)
    classes = np.unique(label)
    if len(classes) != 2:
        raise InvalidTable(f"auc compares two classes, and column {LABEL!r} has {len(classes)}")
    return label == classes[1]


def _counts(metric: Measured) -> PairedCounts:
    assert isinstance(metric, Means)
    champion, challenger = metric.champion > 0, metric.challenger > 0
    return PairedCounts(
        challenger_correct=int(np.count_nonzero(challenger)),
        champion_correct=int(np.count_nonzero(champion)),
        only_champion=int(np.count_nonzero(champion & ~challenger)),
        only_challenger=int(np.count_nonzero(challenger & ~champion)),
    )


def _interval(gate: Gate, metric: Measured, blocks: Ints | None, seed: int) -> Interval | None:
    """None for independent right and wrong answers, which are judged from counts."""
    if blocks is None and metric_named(gate.metric) is GateMetric.ACCURACY:
        return None
    error, units = standard_error(metric, blocks)
    if units < 2:
        error = 0.0  # unknown, and not used: the gate is inconclusive with so few informative units
    champion, challenger = metric.values()
    difference = better_sign(gate) * (challenger - champion)
    if isinstance(metric, Auc):
        method = Method.DELONG if blocks is None else Method.CLUSTERED_DELONG
        reach = student_quantile(gate.confidence, max(units - 1, 1)) * error
        lower, upper = difference - reach, difference + reach
    else:
        method = Method.PAIRED_BOOTSTRAP if blocks is None else Method.BLOCK_BOOTSTRAP
        drawn = resample(metric, blocks, seed) if units > 1 else None
        lower, upper = drawn.bounds(gate.confidence) if drawn else (difference, difference)
    differing = metric.differs()
    informative = np.count_nonzero(differing if blocks is None else np.bincount(blocks, weights=differing))
    return Interval(difference, lower, upper, gate.confidence, method, error, units, int(informative))


def _floor_figures(rows: ScoredRows, gate: Gate) -> dict[str, float]:
    """The challenger's value of every metric or column that a floor names and these rows can give."""
    figures: dict[str, float] = {}
    for floor in gate.floors:
        name = _column(floor.metric, CHALLENGER)
        if same_metric(floor.metric, gate.metric) or name not in rows:
            continue
        figures[floor.metric] = _paired(rows, floor.metric, (name, name), 1).values()[1]
    return figures
