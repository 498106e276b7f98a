"""Runs command jobs in this process, and resumes after a restart those that had not ended.

A job whose program only waits needs no worker meanwhile: the store and the timer keep the time of its end.
"""

import importlib
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, cast

from anew.emulator.base.cloud import Cloud, timestamp
from anew.emulator.base.state import Document, section
from anew.emulator.base.timers import Timer
from anew.emulator.base.uris import VersionedName, parse_versioned
from anew.emulator.machine_learning import runs
from anew.emulator.machine_learning.assets import existing_path, output_folder
from anew.emulator.machine_learning.commands import ModuleCommand, module_of, parse_command
from anew.emulator.workloads import DelayedWorkload, Workload

WORKERS: Final = 2
WAITERS: Final = 2
DUE_KIND: Final = "job.due"
_WORKLOADS: Final = "anew.emulator.workloads."
_DELAYED: Final = _WORKLOADS + "pause"
# They stand for Azure ML's container images: the programs that a job in this environment can start.
IMAGES: Final[Mapping[VersionedName, frozenset[str]]] = {
    VersionedName("anew-samples", "1"): frozenset({_WORKLOADS + "train", _WORKLOADS + "evaluate", _DELAYED}),
}


class JobCanceledError(Exception):
    """Raised inside a workload when it next uses its run after a request to cancel the job."""


class JobRefusedError(Exception):
    """The job cannot be started: its environment or its program is unknown."""


class JobRun:
    """The run that a workload uses; its tags and metrics are written to the job's documents."""

    def __init__(self, cloud: Cloud, key: str) -> None:
        self._cloud = cloud
        self._key = key

    def set_tag(self, key: str, value: str) -> None:
        """Set a tag of the job. Raises JobCanceledError after a request to cancel the job."""
        self.stop_if_canceled()
        runs.set_tag(self._cloud, self._key, key, value)

    def log_metric(self, key: str, value: float) -> None:
        """Log the value of a metric. Raises JobCanceledError after a request to cancel the job."""
        self.stop_if_canceled()
        runs.log_metric(self._cloud, self._key, key, value)

    def stop_if_canceled(self) -> None:
        """Raise JobCanceledError after a request to cancel the job."""
        if runs.status_of(self._cloud, self._key) in (None, "CancelRequested"):
            raise JobCanceledError


class JobRunner:
    """Two workers for the queue of submitted jobs, and a timer with its own workers for jobs that only wait."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="job")
        self._waiters = ThreadPoolExecutor(WAITERS, thread_name_prefix="waiting-job")
        self._timer = Timer("job-waits", lambda key: self._queue(self._waiters, self._run_due, key))
        self._stopping = threading.Event()

    def resume(self) -> None:
        """Submit again every command job that an earlier process left unfinished."""
        for job in runs.mirror(self._cloud).all():
            details = job["properties"]
            if details.get("command") and details["status"] not in runs.FINAL_STATUSES:
                self.submit(job["id"])

    def submit(self, key: str) -> None:
        """Queue a job."""
        job = runs.mirror(self._cloud).get(key)
        if job is not None and module_of(job["properties"]["command"]) == _DELAYED:
            self._queue(self._waiters, self._wait, key)
        else:
            self._queue(self._workers, self._run, key)

    def cancel(self, key: str) -> None:
        """Cancel a job; canceling one that is over changes nothing (unverified)."""
        runs.request_cancel(self._cloud, key)
        self._timer.hasten(key)

    def stop(self) -> None:
        """Start no more jobs and wait for the running ones."""
        self._stopping.set()
        self._timer.stop()
        for pool in (self._workers, self._waiters):
            pool.shutdown(wait=True, cancel_futures=True)

    def _queue(self, pool: ThreadPoolExecutor, work: Callable[[str], None], key: str) -> None:
        if not self._stopping.is_set():
            pool.submit(work, key)

    def _run(self, key: str) -> None:
        if (job := self._begin(key)) is not None:
            self._perform(job)

    def _wait(self, key: str) -> None:
        kept = self._cloud.store.get(DUE_KIND, key)
        if kept is None:
            if (job := self._begin(key)) is None:
                return
            kept = {"due": time.time() + self._delay(job)}
            self._cloud.store.put(DUE_KIND, key, kept)
        self._timer.at(key, kept["due"])
        # A cancellation that came before the line above found no wait to end.
        if runs.status_of(self._cloud, key) == "CancelRequested":
            self._timer.hasten(key)

    def _run_due(self, key: str) -> None:
        job = self._cloud.store.get(runs.KIND, key)
        if job is not None and not self._stopping.is_set():
            self._perform(job)

    def _begin(self, key: str) -> Document | None:
        """The job, now Running; None when there is nothing to run."""
        job = self._cloud.store.get(runs.KIND, key)
        if job is None or self._stopping.is_set():
            return None
        if job["properties"]["status"] == "CancelRequested":
            runs.change_status(self._cloud, key, "Canceled")
            return None
        if job["properties"]["status"] == "NotStarted":
            runs.change_status(self._cloud, key, "Queued")
        return job if runs.change_status(self._cloud, key, "Running") else None

    def _perform(self, job: Document) -> None:
        status, error = self._execute(job)
        with self._cloud.store.transaction():
            runs.finish(self._cloud, job["id"], status, error=error)
            self._cloud.store.delete(DUE_KIND, job["id"])

    def _delay(self, job: Document) -> float:
        # A job that cannot be started has no delay: it fails at once and says why.
        try:
            command = prepare(self._cloud, job)
            return cast(DelayedWorkload, importlib.import_module(command.module)).delay(command.argv)
        except (ValueError, JobRefusedError, SystemExit):
            return 0.0

    def _execute(self, job: Document) -> tuple[str, str | None]:
        log, run = runs.JobLog(self._cloud, job["name"]), JobRun(self._cloud, job["id"])
        try:
            run.stop_if_canceled()
            command = prepare(self._cloud, job)
            log.write(f"python -m {command.module} {' '.join(command.argv)}")
            workload = cast(Workload, importlib.import_module(command.module))
            workload.main(command.argv, run)
        except JobCanceledError:
            log.write("canceled")
            return "Canceled", None
        # The workload is a user's program: any error that it raises, or an exit, fails the job and not local Azure.
        except (Exception, SystemExit) as error:  # noqa: BLE001
            log.write(traceback.format_exc())
            return "Failed", f"{type(error).__name__}: {error}"
        log.write(f"completed at {timestamp()}")
        return "Completed", None


def prepare(cloud: Cloud, job: Document) -> ModuleCommand:
    """The program and arguments of a command job, its inputs resolved to local paths and its output folders made.

    Raises:
        JobRefusedError: the environment is not known here, or it does not hold the program.
        CommandError: the command is not a ``python -m`` command.
        AssetError: an input does not exist.
    """
    details, workspace_id = job["properties"], runs.workspace_of(job["id"])
    programs = _programs(details.get("environmentId") or "")
    inputs = {name: _input(cloud, workspace_id, given) for name, given in section(details, "inputs").items()}
    outputs = {name: output_folder(cloud, job["name"], name) for name in section(details, "outputs")}
    command = parse_command(details["command"], inputs, {name: str(folder) for name, folder in outputs.items()})
    if command.module not in programs:
        raise JobRefusedError(f"the environment has no program {command.module!r}, only {', '.join(sorted(programs))}")
    for folder in outputs.values():
        folder.mkdir(parents=True, exist_ok=True)
    return command


def start(cloud: Cloud) -> Callable[[], None]:
    """Run jobs, starting with those that an earlier process left; returns a function that stops the runner."""
    runner = cloud.service(JobRunner)
    runner.resume()
    return runner.stop


def _programs(environment: str) -> frozenset[str]:
    try:
        image = parse_versioned(environment)
    except ValueError as error:
        raise JobRefusedError(f"the environment {environment!r} has no name and version") from error
    if image not in IMAGES:
        raise JobRefusedError(f"the environment {image} is not known; known are {', '.join(map(str, IMAGES))}")
    return IMAGES[image]


def _input(cloud: Cloud, workspace_id: str, given: Mapping[str, Any]) -> str:
    if str(given.get("jobInputType", "")).casefold() == "literal":
        return str(given["value"])
    return str(existing_path(cloud, workspace_id, given["uri"]))
