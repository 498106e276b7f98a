"""Models on disk in MLflow's layout (an MLmodel file beside a pickled scikit-learn estimator), without MLflow."""

import json
import pickle
import platform
import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Protocol, cast

import numpy as np
import yaml
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController  # pyright: ignore[reportMissingTypeStubs]

MODEL_FILE: Final = "MLmodel"
PICKLE_FILE: Final = "model.pkl"


class Classifier(Protocol):
    """The part of a scikit-learn classifier, or regressor, that scoring needs."""

    def predict(self, X: NDArray[np.float64]) -> NDArray[np.int64]:  # noqa: N803 (scikit-learn's own name)
        """The class, or value, of each row."""
        ...


@dataclass(frozen=True)
class SavedModel:
    """A loaded model and the names of its input columns, in the order it was trained on."""

    columns: tuple[str, ...]
    classifier: Classifier

    def predict(self, columns: Sequence[str], rows: NDArray[np.float64]) -> NDArray[np.int64]:
        """The class of each row; the columns may come in any order.

        Raises:
            KeyError: a column the model was trained on is missing.
        """
        with one_thread():
            return self.classifier.predict(self._ordered(columns, rows))

    def scores(self, columns: Sequence[str], rows: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """The probability of the second class of each row; None without probabilities or with more classes.

        Raises:
            KeyError: a column the model was trained on is missing.
        """
        probabilities: Callable[[NDArray[np.float64]], NDArray[np.float64]] | None
        probabilities = getattr(self.classifier, "predict_proba", None)
        if probabilities is None:
            return None
        with one_thread():
            shares = probabilities(self._ordered(columns, rows))
        return shares[:, 1] if shares.shape[1] == 2 else None

    def _ordered(self, columns: Sequence[str], rows: NDArray[np.float64]) -> NDArray[np.float64]:
        missing = [name for name in self.columns if name not in columns]
        if missing:
            raise KeyError(f"missing columns: {', '.join(missing)}")
        return rows[:, [list(columns).index(name) for name in self.columns]]


def save_model(folder: Path, classifier: Classifier, columns: Sequence[str]) -> None:
    """Write the model so that MLflow, and load_model, can read it back."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / PICKLE_FILE).open("wb") as file:
        pickle.dump(classifier, file, protocol=pickle.HIGHEST_PROTOCOL)
    requirements = [f"{package}=={version(package)}" for package in ("scikit-learn", "numpy")]
    (folder / "requirements.txt").write_text("\n".join(requirements) + "\n")
    python_env = {"python": platform.python_version(), "dependencies": ["-r requirements.txt"]}
    (folder / "python_env.yaml").write_text(yaml.safe_dump(python_env, sort_keys=False))
    # Last, because a folder with this file counts as a model.
    (folder / MODEL_FILE).write_text(yaml.safe_dump(_description(columns, version("scikit-learn")), sort_keys=False))


def load_model(folder: Path) -> SavedModel:
    """Read a model. It is unpickled, so this machine must have written the folder.

    Raises:
        FileNotFoundError: the folder holds no model.
    """
    description: dict[str, Any] = yaml.safe_load((folder / MODEL_FILE).read_text())
    inputs = json.loads(description["signature"]["inputs"])
    with (folder / description["flavors"]["sklearn"]["pickled_model"]).open("rb") as file:
        classifier = cast(Classifier, pickle.load(file))  # noqa: S301 (our own file, as the docstring says)
    return SavedModel(tuple(column["name"] for column in inputs), classifier)


def _description(columns: Sequence[str], sklearn_version: str) -> dict[str, Any]:
    inputs = [{"type": "double", "name": name, "required": True} for name in columns]
    outputs = [{"type": "tensor", "tensor-spec": {"dtype": "int64", "shape": [-1]}}]
    return {
        "artifact_path": "model",
        "flavors": {
            "python_function": {
                "env": {"virtualenv": "python_env.yaml"},
                "loader_module": "mlflow.sklearn",
                "model_path": PICKLE_FILE,
                "predict_fn": "predict",
                "python_version": platform.python_version(),
            },
            "sklearn": {
                "code": None,
                "pickled_model": PICKLE_FILE,
                "serialization_format": "pickle",
                "sklearn_version": sklearn_version,
            },
        },
        "model_uuid": uuid.uuid4().hex,
        "signature": {"inputs": json.dumps(inputs), "outputs": json.dumps(outputs), "params": None},
        "utc_time_created": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f"),
    }


def one_thread() -> AbstractContextManager[object]:
    """Within the block, OpenMP and BLAS work in the calling thread only: jobs and requests run side by side here.

    On busy cores the spinning barriers of OpenMP make a prediction of a few rows a hundred times slower than this.
    """
    return cast(AbstractContextManager[object], _controller().limit(limits=1))


@cache
def _controller() -> Any:
    # It finds only libraries that are loaded, so those of scikit-learn must be loaded first.
    import sklearn.ensemble  # noqa: F401 # pyright: ignore[reportMissingTypeStubs, reportUnusedImport]

    return ThreadpoolController()
