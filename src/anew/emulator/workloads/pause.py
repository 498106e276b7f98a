"""The program that only waits: it trains nothing, and at its end sets the tags and writes the model of its arguments.

It replaces a training or an evaluation where only their way through the system matters. Its model can be loaded and
served, and answers 0 to every row.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from anew.emulator.workloads import Run
from anew.emulator.workloads.evaluate import EVALUATION_TAG
from anew.emulator.workloads.model_io import save_model

COMPLETED: Final = "completed"
FAILED: Final = "failed"


class FailureRequestedError(Exception):
    """The arguments say that the job fails."""


class ConstantClassifier:
    """Answers 0 to every row."""

    def predict(self, X: NDArray[np.float64]) -> NDArray[np.int64]:  # noqa: N803 (scikit-learn's own name)
        """The class of each row."""
        return np.zeros(len(X), dtype=np.int64)


def delay(argv: Sequence[str]) -> float:
    """How many seconds the program waits before main is called."""
    return _parser().parse_args(argv).seconds


def main(argv: Sequence[str], run: Run) -> None:
    """Set the tags and write the model, after the wait. Raises FailureRequestedError when ``--status`` is failed."""
    options = _parser().parse_args(argv)
    if options.status == FAILED:
        raise FailureRequestedError("the arguments ask for a job that fails")
    tags: list[tuple[str, str]] = options.tag
    for name, value in tags:
        run.set_tag(name, value)
    if options.evaluation is not None:
        run.set_tag(EVALUATION_TAG, options.evaluation)
    if options.out is not None:
        save_model(options.out, ConstantClassifier(), ())


def _tag(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pause", description=__doc__)
    parser.add_argument("--seconds", type=float, required=True, help="how long to wait")
    parser.add_argument("--status", choices=(COMPLETED, FAILED), default=COMPLETED, help="how the job ends")
    parser.add_argument("--tag", type=_tag, action="append", default=[], metavar="NAME=VALUE", help="tag to set")
    parser.add_argument("--evaluation", help=f"JSON text for the tag {EVALUATION_TAG}")
    parser.add_argument("--out", type=Path, help="folder to write a model to that answers 0")
    return parser
