"""The best possible retrainings, with hindsight: exact dynamic programming over all ways to place them.

The oracle knows every later batch, so no policy reaches it; what a policy costs beyond it is its regret.
"""

import numpy as np
import numpy.typing as npt

from anew.backtest.matrix import Matrix


def lowest_cost(accuracy: Matrix, first: int, cost: float) -> tuple[float, tuple[int, ...]]:
    """The least sum of error per batch + cost x retrainings, and after which batches to retrain for it.

    `first` is the batch after which the first model was trained. O(batches²).
    """
    batches = len(accuracy)
    to_go = np.zeros(batches)
    following = np.full(batches, -1)
    for model in range(batches - 2, first - 1, -1):
        lost = np.cumsum(1 - accuracy[model, model + 1 :])
        to_go[model] = lost[-1]
        if len(lost) > 1:
            replaced = lost[:-1] + cost + to_go[model + 1 : batches - 1]
            best = int(replaced.argmin())
            if replaced[best] < to_go[model]:
                to_go[model], following[model] = replaced[best], model + 1 + best
    return float(to_go[first]), _path(following, first)


def best_retrainings(accuracy: Matrix, first: int, most: int) -> npt.NDArray[np.float64]:
    """The highest mean accuracy per batch that k retrainings can reach, for k = 0 to most: (most+1,).

    O(most x batches²).
    """
    batches = len(accuracy)
    # lost[m, s]: summed error of model m from its first batch through batch s.
    lost = np.full((batches, batches), np.inf)
    for model in range(first, batches - 1):
        lost[model, model + 1 :] = np.cumsum(1 - accuracy[model, model + 1 :])
    to_go = lost[:, -1].copy()
    least = [to_go[first]]
    for _ in range(most):
        # Retraining after batch s leaves batches s+1 to the end for the next model.
        with_one_more = (lost[:, : batches - 1] + to_go[np.newaxis, : batches - 1]).min(axis=1)
        to_go = np.minimum(to_go, with_one_more)
        least.append(to_go[first])
    return 1 - np.array(least) / (batches - 1 - first)


def _path(following: npt.NDArray[np.int64], model: int) -> tuple[int, ...]:
    path: list[int] = []
    while (model := int(following[model])) >= 0:
        path.append(model)
    return tuple(path)
