from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anew.backtest.matrix import Matrix
from anew.backtest.oracle import best_retrainings, lowest_cost

FIRST = 1


@st.composite
def accuracies(draw: st.DrawFn) -> Matrix:
    batches = draw(st.integers(FIRST + 2, 8))
    values = draw(st.lists(st.floats(0, 1), min_size=batches**2, max_size=batches**2))
    matrix = np.array(values).reshape(batches, batches)
    matrix[np.tril_indices(batches)] = np.nan
    matrix[:FIRST] = np.nan
    return matrix


def error_of(accuracy: Matrix, retrained: tuple[int, ...]) -> float:
    champion, error = FIRST, 0.0
    for batch in range(FIRST + 1, len(accuracy)):
        error += 1 - float(accuracy[champion, batch])
        if batch in retrained:
            champion = batch
    return error


def every_way(accuracy: Matrix) -> list[tuple[int, ...]]:
    moments = range(FIRST + 1, len(accuracy) - 1)
    return [way for count in range(len(moments) + 1) for way in combinations(moments, count)]


@given(accuracies(), st.floats(0.001, 1))
def test_oracle_cost_is_optimal(accuracy: Matrix, cost: float) -> None:
    """The oracle costs as little as the best of all choices of retrainings."""
    lowest, retrained = lowest_cost(accuracy, FIRST, cost)
    brute = min(error_of(accuracy, way) + cost * len(way) for way in every_way(accuracy))
    assert lowest == pytest.approx(brute)
    assert error_of(accuracy, retrained) + cost * len(retrained) == pytest.approx(lowest)


@given(accuracies())
def test_oracle_with_k_retrainings(accuracy: Matrix) -> None:
    """The oracle with k retrainings equals the best of all choices of at most k."""
    most = len(accuracy) - FIRST - 2
    batches = len(accuracy) - 1 - FIRST
    for count, reached in enumerate(best_retrainings(accuracy, FIRST, most)):
        brute = min(error_of(accuracy, way) for way in every_way(accuracy) if len(way) <= count)
        assert reached == pytest.approx(1 - brute / batches)
