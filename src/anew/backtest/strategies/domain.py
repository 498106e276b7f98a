"""How well a small classifier tells a batch from the champion's training rows: a drift coefficient for streams.

The v1 monitor of Azure ML had a coefficient of this kind; its classifier was never published, so the numbers differ.
"""

from typing import Any, Final, cast

import numpy as np

from anew.backtest.strategies.replay import Moment

_FOLDS: Final = 3
_ROWS: Final = 1000  # of each side: more rows change only the third digit, and take seconds


def domain_coefficient(moment: Moment) -> float | None:
    """The Matthews correlation of cross-validated guesses, 0 (cannot be told apart) to 1 (always can). None where a
    side has too few rows to guess at.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import matthews_corrcoef
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from threadpoolctl import threadpool_limits

    stream, champion = moment.stream, moment.champion
    sides = (stream.span(champion - moment.window + 1, champion), stream.span(moment.batch, moment.batch))
    # As many rows of each side: weighting them instead makes the classifier's binning ten times as slow.
    count = min(_ROWS, *(side.stop - side.start for side in sides))
    if count < _FOLDS:
        return None
    dice = np.random.default_rng(moment.batch)
    rows = np.vstack([_some(stream.features[side], count, dice) for side in sides])
    is_now = np.repeat((0, 1), count)
    classifier: Any = HistGradientBoostingClassifier(max_iter=10, max_leaf_nodes=8, early_stopping=cast("Any", False))
    with threadpool_limits(1):
        folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=0)
        return max(0.0, float(matthews_corrcoef(is_now, cross_val_predict(classifier, rows, is_now, cv=folds))))


def _some(rows: Any, count: int, dice: np.random.Generator) -> Any:
    return rows[dice.choice(len(rows), count, replace=False)]
