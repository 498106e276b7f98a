"""The metric on each slice of the rows, and the test whether the challenger is worse there by more than a margin."""

import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from anew.core.gate.evaluation import SliceFigure, SliceReport
from anew.core.gate.paired import Means, Paired, standard_error
from anew.core.gate.scored import Ints, ScoredRows
from anew.core.gate.tails import adjusted_difference, normal_tail, student_to_normal
from anew.core.policies.gate import Slices
from anew.errors import InvalidTable

WORST_TOLD: Final = 8  # slices in a report: it travels in a tag
_LONGEST_NAME: Final = 60


def report_slices(rows: ScoredRows, asked: Slices, metric: Paired, blocks: Ints | None, *, told: int) -> SliceReport:
    """Every value of every column, and the `told` slices with the smallest p-values."""
    judged: list[SliceFigure] = []
    unjudged = 0
    for name, members in _slices(rows, asked):
        figure = _judge(name, members, metric, blocks, asked)
        if figure is None:
            unjudged += 1
        else:
            judged.append(figure)
    worst = sorted(judged, key=lambda item: (item.p_value, item.difference, item.name))
    return SliceReport(asked.columns, asked.margin, asked.min_rows, len(judged), unjudged, tuple(worst[: max(told, 1)]))


def _slices(rows: ScoredRows, asked: Slices) -> Iterator[tuple[str, Ints]]:
    for column in asked.columns:
        values, codes = rows.groups(column)
        members = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])
        yield from (
            (f"{column}={value}"[:_LONGEST_NAME], rows_of) for value, rows_of in zip(values, members, strict=True)
        )


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
    error, units = standard_error(part, None if blocks is None else _renumbered(blocks[members]))
    if math.isnan(error):
        return None
    return SliceFigure(name, len(members), difference, _p_value(difference + asked.margin, error, units))


def _p_value(distance: float, error: float, units: int) -> float:
    """Of a true distance below 0, one-sided."""
    if error == 0:
        return float(distance >= 0)
    return normal_tail(student_to_normal(distance / error, units - 1))


def _renumbered(blocks: Ints) -> Ints:
    return np.unique(blocks, return_inverse=True)[1].astype(np.int64)
