"""A pipeline run: its document, which survives a restart, and the work on it, which proceeds in slices.

A run that has to wait holds no thread. It ends its slice with RunPausedError, and the next slice goes through the same
activities again: ``outcomes`` has the finished ones, and ``progress`` has the state of those that have begun.
"""

import threading
import uuid
from dataclasses import dataclass, field
from typing import Any, Final, cast

from anew.emulator.base.cloud import Cloud, timestamp
from anew.emulator.base.state import Document, Mirror
from anew.emulator.data_factory.expressions import Scope

RUNS: Final = "pipeline_run"
ACTIVITY_RUNS: Final = "activity_run"
WAIT_SCALE: Final = 0.02


class RunCancelledError(Exception):
    """The run was cancelled."""


class RunInterruptedError(Exception):
    """Local Azure is stopping; the run continues when it starts again."""


class RunPausedError(Exception):
    """The run has nothing to do before due, in seconds of the Unix epoch; it continues then."""

    def __init__(self, due: float) -> None:
        super().__init__(f"the run waits until {due}")
        self.due = due


def run_mirror(cloud: Cloud) -> Mirror:
    """Every pipeline run as clients see it, by run key."""
    return cloud.store.mirror(RUNS, lambda document: document["run"])


@dataclass
class PipelineRun:
    """A run during a slice of its work: its document, and the signal that local Azure stops."""

    cloud: Cloud
    key: str
    document: Document
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def run_id(self) -> str:
        """The id Data Factory gave the run."""
        return self.document["run"]["runId"]

    @property
    def outcomes(self) -> dict[str, Document]:
        """The outcome of each finished activity by name: status, output and error."""
        return self.document["outcomes"]

    @property
    def is_cancelled(self) -> bool:
        """Whether a client cancelled the run."""
        shown = run_mirror(self.cloud).get(self.key)
        return shown is not None and shown["status"] == "Cancelling"

    def scope(self) -> Scope:
        """The values that expressions of this run may read now."""
        wire = self.document["run"]
        pipeline: Document = {
            "parameters": self.document["parameters"],
            "RunId": self.run_id,
            "Pipeline": wire["pipelineName"],
            "DataFactory": self.document["factory"].rsplit("/", 1)[-1],
            "TriggerTime": wire["runStart"],
            "TriggerType": "Manual",
        }
        return Scope(pipeline, self.document["variables"], self.outcomes)

    def progress(self, activity: str) -> Document:
        """The state of an activity that has begun, which it may change: its run's id, its start and its notes."""
        begun = cast("dict[str, Document]", self.document["progress"])
        if activity not in begun:
            begun[activity] = {"id": str(uuid.uuid4()), "started": timestamp(), "failures": 0}
        return begun[activity]

    def forget(self, activity: str) -> None:
        """Let an activity begin again, as in the next round of a loop."""
        self.outcomes.pop(activity, None)
        self.document["progress"].pop(activity, None)

    def record(self, activity_run: Document) -> None:
        """Record the run of an activity."""
        self.cloud.store.put(ACTIVITY_RUNS, f"{self.key}/{activity_run['activityRunId']}", activity_run)

    def finish(self, activity: str, activity_run: Document) -> None:
        """Record the last run of an activity and its outcome."""
        with self.cloud.store.transaction():
            self.record(activity_run)
            self.outcomes[activity] = {key: activity_run[key] for key in ("status", "output", "error")}
            self.document["progress"].pop(activity, None)
            self.save()

    def update(self, **changes: Any) -> None:
        """Change the run as clients see it and write its document."""
        self.document["run"] |= {**changes, "lastUpdated": timestamp()}
        self.save()

    def save(self) -> None:
        """Write the run's document; a run asked to stop stays Cancelling until it has ended."""
        with self.cloud.store.transaction():
            if self.is_cancelled and self.document["run"]["runEnd"] is None:
                self.document["run"]["status"] = "Cancelling"
            self.cloud.store.put(RUNS, self.key, self.document)

    def check(self) -> None:
        """Raise RunInterruptedError or RunCancelledError when the run has to end here."""
        if self.stopping.is_set():
            raise RunInterruptedError
        if self.is_cancelled:
            raise RunCancelledError
