"""The programs that jobs of local Azure can run: real training and evaluation with scikit-learn, and one that only
waits. A program gets its arguments and a `Run`, and leaves tags, metrics and files. It imports no other room of local
Azure; `evaluate` calls `anew.core.gate`, as a user's job would.
"""

from collections.abc import Sequence
from typing import Protocol


class Run(Protocol):
    """The actions that a workload may take on its run, with the names of MLflow."""

    def set_tag(self, key: str, value: str) -> None:
        """Set a tag of the run."""
        ...

    def log_metric(self, key: str, value: float) -> None:
        """Log the value of a metric."""
        ...


class Workload(Protocol):
    """A workload module: its main takes the arguments of the command, and its run."""

    def main(self, argv: Sequence[str], run: Run) -> None:
        """Do the work; any exception fails the job."""
        ...


class DelayedWorkload(Workload, Protocol):
    """A workload whose main is called after a delay; it needs no thread until then."""

    def delay(self, argv: Sequence[str]) -> float:
        """Seconds until main."""
        ...
