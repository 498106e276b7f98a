"""The obligations of MapConcurrently, as in engine/base/context.py: one after the other, and in threads."""

import pytest

from anew.engine.base.context import MapConcurrently, map_in_order
from anew.wiring import in_threads

IMPLEMENTATIONS = (map_in_order, in_threads)
CONTRACT = {MapConcurrently: IMPLEMENTATIONS}


@pytest.fixture(params=IMPLEMENTATIONS, ids=lambda function: function.__name__)
def map_concurrently(request: pytest.FixtureRequest) -> MapConcurrently:
    return request.param


@pytest.mark.parametrize("count", [0, 1, 2, 100])
def test_results_come_in_order(map_concurrently: MapConcurrently, count: int) -> None:
    """Whatever order the calls run in, the results are in the order of the items."""
    assert map_concurrently(lambda number: number * 2, iter(range(count))) == [2 * n for n in range(count)]


@pytest.mark.parametrize("count", [1, 3])
def test_error_of_a_call_is_raised(map_concurrently: MapConcurrently, count: int) -> None:
    """An error is not swallowed."""
    with pytest.raises(ZeroDivisionError):
        map_concurrently(lambda number: 1 // number, range(count))
