"""Keeps native libraries to one thread: jobs and requests run side by side here, and their rows are few."""

from contextlib import AbstractContextManager
from functools import cache
from typing import Any, cast

from threadpoolctl import ThreadpoolController  # pyright: ignore[reportMissingTypeStubs]


def one_thread() -> AbstractContextManager[object]:
    """Within the block, OpenMP and BLAS work in the calling thread only.

    On busy cores the spinning barriers of OpenMP make a prediction of a few rows a hundred times slower than this.
    """
    return cast(AbstractContextManager[object], _controller().limit(limits=1))


@cache
def _controller() -> Any:
    # It finds the libraries that are loaded already, so scikit-learn's own must be loaded before it is made.
    import sklearn.ensemble  # noqa: F401 # pyright: ignore[reportMissingTypeStubs, reportUnusedImport]

    return ThreadpoolController()
