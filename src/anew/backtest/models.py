"""The model whose retraining is at stake, and the cheap surrogates that estimate what retraining it would bring."""

import warnings
from typing import Any, Final, Protocol, Self, cast

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

SURROGATES: Final = ("tree", "logistic", "boosting", "forest")
"""They differ in kind, so that the mean of their gains depends little on any one of them."""

SURROGATE_ROWS: Final = 4000
_SHARE_PER_SEED: Final = 0.9


class Model(Protocol):
    """A trained classifier."""

    def predict(self, features: Floats, /) -> Integers: ...


class _Constant:
    """The model of rows that all have one class."""

    def __init__(self, label: int) -> None:
        self._label = label

    def predict(self, features: Floats, /) -> Integers:
        return np.full(len(features), self._label, dtype=np.int64)


class _Standardised:
    """A linear model on columns of mean 0 and deviation 1, missing values at the mean."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._mean: npt.NDArray[Any] = np.zeros(0)
        self._spread: npt.NDArray[Any] = np.ones(0)

    def fit(self, features: Floats, labels: Integers) -> Self:
        from sklearn.exceptions import ConvergenceWarning

        known = ~np.isnan(features)
        counts = np.maximum(known.sum(axis=0), 1)
        self._mean = np.where(known, features, 0).sum(axis=0) / counts
        spread = np.sqrt((np.where(known, features - self._mean, 0) ** 2).sum(axis=0) / counts)
        self._spread = np.where(spread > 0, spread, 1.0)
        with warnings.catch_warnings():
            # 60 steps are enough for a surrogate; it does not matter that the last digits still move.
            warnings.simplefilter("ignore", ConvergenceWarning)
            self._model.fit(self._scaled(features), labels)
        return self

    def predict(self, features: Floats, /) -> Integers:
        return self._model.predict(self._scaled(features))

    def _scaled(self, features: Floats) -> Floats:
        return np.nan_to_num((features - self._mean) / self._spread).astype(np.float32)


def fit_model(features: Floats, labels: Integers, seed: int) -> Model:
    """The benchmark's model: gradient boosting of 60 trees with 15 leaves.

    Seed 0 trains on all rows; any other on a random nine tenths of them, since the training itself is deterministic.
    """
    if seed:
        chosen = np.random.default_rng(seed).random(len(labels)) < _SHARE_PER_SEED
        features, labels = features[chosen], labels[chosen]
    return _fit(_boosting(max_iter=60), features, labels)


def fit_surrogates(features: Floats, labels: Integers, seed: int) -> tuple[Model, ...]:
    """Each of `SURROGATES`, trained on at most 4000 of the rows."""
    if len(labels) > SURROGATE_ROWS:
        chosen = np.random.default_rng(seed).choice(len(labels), SURROGATE_ROWS, replace=False)
        features, labels = features[chosen], labels[chosen]
    return tuple(_fit(_untrained(name, seed), features, labels) for name in SURROGATES)


def _untrained(surrogate: str, seed: int) -> Any:
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.tree import DecisionTreeClassifier

    match surrogate:
        case "tree":
            return DecisionTreeClassifier(max_depth=6, min_samples_leaf=5, random_state=seed)
        case "logistic":
            return _Standardised(LogisticRegression(max_iter=60))
        case "boosting":
            return _boosting(max_iter=20, learning_rate=0.2)
        case _:
            return ExtraTreesClassifier(20, max_depth=10, min_samples_leaf=3, random_state=seed)


def _boosting(**settings: Any) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(max_leaf_nodes=15, early_stopping=cast("Any", False), **settings)


def _fit(untrained: Any, features: Floats, labels: Integers) -> Model:
    if (labels == labels[0]).all():
        return _Constant(int(labels[0]))
    return untrained.fit(features, labels)
