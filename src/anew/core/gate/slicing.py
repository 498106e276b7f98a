"""The metric on each slice of the rows, and the test whether the challenger is worse there by more than the margin."""

import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from anew.core.gate.evaluation import SliceFigure, SliceReport
from anew.core.gate.paired import Means, Paired, standard_error
from anew.core.gate.scored import Ints, ScoredRows
from anew.core.policies.gate import Slices
from anew.core.statistics.binomial import adjusted_difference
from anew.core.statistics.tails import normal_tail, student_tail
from anew.errors import InvalidTable

WORST_TOLD: Final = 8  # slices in a report, which has to fit in a tag
_LONGEST_NAME: Final = 60


def report_slices(rows: ScoredRows, asked: Slices, metric: Paired, blocks: Ints | None, *, told: int) -> SliceReport:
    """The slices, one for every value of every column, of which the `told` with the smallest p-values are reported."""
    figures = [_judge(name, members, metric, blocks, asked) for name, members in _slices(rows, asked)]
    judged = [figure for figure in figures if figure is not None]
    worst = tuple(sorted(judged, key=lambda item: (item.p_value, item.difference, item.name))[: max(told, 1)])
    unjudged = len(figures) - len(judged)
    return SliceReport(asked.columns, asked.margin, asked.min_rows, len(judged), unjudged, worst)


def _slices(rows: ScoredRows, asked: Slices) -> Iterator[tuple[str, Ints]]:
    for column in asked.columns:
        values, codes = rows.groups(column)
        members = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])
        for value, rows_of in zip(values, members, strict=True):
            yield f"{column}={value}"[:_LONGEST_NAME], rows_of


def _judge(name: str, members: Ints, metric: Paired, blocks: Ints | None, asked: Slices) -> SliceFigure | None:
    """None for a slice with too few rows, or of one block, or where the metric is not defined."""
    if len(members) < asked.min_rows:
        return None
    try:
        part = metric.part(members)
    except InvalidTable:
        return None
    champion, challenger = part.values()
    difference = part.better * (challenger - champion)
    if blocks is None and isinstance(part, Means) and part.counted:
        worse, better = (
            int(np.count_nonzero(part.better * (part.challenger - part.champion) * s > 0)) for s in (-1, 1)
        )
        centre, error = adjusted_difference(worse, better, len(members))
        return SliceFigure(name, len(members), difference, normal_tail((centre + asked.margin) / error))
    renumbered = None if blocks is None else np.unique(blocks[members], return_inverse=True)[1].astype(np.int64)
    error, units = standard_error(part, renumbered)
    if math.isnan(error):
        return None
    distance = difference + asked.margin
    p_value = student_tail(distance / error, units - 1) if error else float(distance >= 0)
    return SliceFigure(name, len(members), difference, p_value)
