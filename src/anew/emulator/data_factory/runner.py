"""Runs pipelines in the background, from Queued to their end, and continues those that a restart interrupted."""

import json
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, Final, cast

from anew.emulator.arm.protocol import ArmError
from anew.emulator.base.cloud import Cloud, timestamp
from anew.emulator.base.state import Document
from anew.emulator.base.timers import Timer
from anew.emulator.data_factory.activities import run_activities
from anew.emulator.data_factory.functions import to_text
from anew.emulator.data_factory.run import (
    RUNS,
    PipelineRun,
    RunCancelledError,
    RunInterruptedError,
    RunPausedError,
    run_mirror,
)
from anew.emulator.data_factory.web import ActivityError, WebCaller

ENDED: Final = frozenset({"Succeeded", "Failed", "Cancelled"})
_WORKERS: Final = 16


class PipelineRunner:
    """Executes pipeline runs; one per cloud, got with ``cloud.service(PipelineRunner)``.

    A run is in one place at a time: with the workers while a part of it executes, with the timer while it waits.
    """

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._mirror = run_mirror(cloud)
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="pipeline")
        self._timer = Timer("pipeline-waits", self._submit)
        self._stopping = threading.Event()

    def resume(self) -> None:
        """Continue every run that had not ended when local Azure stopped."""
        for run in self._mirror.all():
            if run["status"] not in ENDED:
                factory, _, _ = run["id"].rpartition("/pipelineruns/")
                self._submit(run_key(factory, run["runId"]))

    def stop(self) -> None:
        """Interrupt the runs between two activities and wait for them; they stay as they are in the store."""
        self._stopping.set()
        self._timer.stop()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._cloud.service(WebCaller).close()

    def create(self, factory: str, pipeline: str, definition: Document, given: Document) -> str:
        """Queue a run of a pipeline and return its id; raises ArmError (400) when a parameter has no value.

        Values for undeclared parameters are kept on the run (unverified).
        """
        run_id = str(uuid.uuid4())
        parameters = with_defaults(definition.get("parameters") or {}, given)
        now = timestamp()
        wire: Document = {
            "id": f"{factory}/pipelineruns/{run_id}",
            "runId": run_id,
            "runGroupId": run_id,
            "isLatest": True,
            "pipelineName": pipeline,
            "parameters": {name: to_text(value) for name, value in parameters.items()},
            "runDimension": {},
            "invokedBy": {"id": str(uuid.uuid4()), "name": "Manual", "invokedByType": "Manual"},
            "runStart": now,
            "runEnd": None,
            "durationInMs": None,
            "status": "Queued",
            "message": "",
            "lastUpdated": now,
        }
        variables: dict[str, Document] = definition.get("variables") or {}
        document: Document = {
            "factory": factory,
            "run": wire,
            "definition": definition,
            "parameters": parameters,
            "variables": {name: variable.get("defaultValue") for name, variable in variables.items()},
            "outcomes": {},
            "progress": {},
        }
        key = run_key(factory, run_id)
        with self._cloud.store.transaction():
            self._cloud.store.put(RUNS, key, document)
            self._cloud.journal("pipeline_run.created", run_id=run_id, pipeline=pipeline, parameters=wire["parameters"])
            self._log(document)
        self._submit(key)
        return run_id

    def cancel(self, factory: str, run_id: str) -> bool:
        """Cancel a run; False when there is none. A run that has ended stays unchanged (unverified).

        An Azure ML job that its activities started goes on, because it belongs to another service.
        """
        key = run_key(factory, run_id)
        with self._cloud.store.transaction():
            document = self._cloud.store.get(RUNS, key)
            if document is None:
                return False
            status = document["run"]["status"]
            self._cloud.journal("pipeline_run.cancel_requested", run_id=run_id, status=status)
            if status in ENDED:
                return True
            document["run"] |= {"status": "Cancelling", "lastUpdated": timestamp()}
            self._cloud.store.put(RUNS, key, document)
        self._timer.hasten(key)
        return True

    def _submit(self, key: str) -> None:
        if not self._stopping.is_set():
            self._pool.submit(self._execute, key)

    def _execute(self, key: str) -> None:
        document = self._cloud.store.get(RUNS, key)
        if document is None or self._stopping.is_set():
            return
        run = PipelineRun(self._cloud, key, document, self._stopping)
        try:
            run.check()
            if document["run"]["status"] != "InProgress":
                with self._cloud.store.transaction():
                    run.update(status="InProgress")
                    self._log(document)
            failure = run_activities(run, document["definition"].get("activities") or [])
        except RunPausedError as pause:
            self._park(run, pause.due)
        except RunInterruptedError:
            return
        except RunCancelledError:
            self._end(run, "Cancelled", None)
        except Exception as error:  # noqa: BLE001 - the edge of a worker thread: a run must reach an end
            self._end(run, "Failed", ActivityError("InternalServerError", repr(error), "SystemError"))
        else:
            self._end(run, "Failed" if failure else "Succeeded", failure)

    def _park(self, run: PipelineRun, due: float) -> None:
        run.save()
        self._timer.at(run.key, due)
        # A cancellation that came before the line above found no wait to end.
        if run.is_cancelled:
            self._timer.hasten(run.key)

    def _end(self, run: PipelineRun, status: str, failure: ActivityError | None) -> None:
        now = timestamp()
        elapsed = datetime.fromisoformat(now) - datetime.fromisoformat(run.document["run"]["runStart"])
        with self._cloud.store.transaction():
            run.update(
                status=status,
                message=f"{failure}" if failure else "",
                runEnd=now,
                durationInMs=int(elapsed.total_seconds() * 1000),
            )
            self._log(run.document, failure)
            self._cloud.journal("pipeline_run.ended", run_id=run.run_id, status=status)

    def _log(self, document: Document, failure: ActivityError | None = None) -> None:
        wire = document["run"]
        row: Document = {
            "OperationName": f"{wire['pipelineName']} - {wire['status']}",
            "RunId": wire["runId"],
            "PipelineName": wire["pipelineName"],
            "Status": wire["status"],
            "Start": wire["runStart"],
            "End": wire["runEnd"],
            "FailureType": failure.kind if failure else "",
            "ErrorCode": failure.code if failure else "",
            "ErrorMessage": f"{failure}" if failure else "",
            "Parameters": json.dumps(wire["parameters"]),
            "SystemParameters": json.dumps({"TriggerType": "Manual"}),
            "CorrelationId": wire["runId"],
        }
        self._cloud.log("ADFPipelineRun", row)


def run_key(factory: str, run_id: str) -> str:
    """The key of a run in the store."""
    return f"{factory}/{run_id}"


def with_defaults(declared: Document, given: Document) -> dict[str, Any]:
    """The parameters of a run: the given values, then the declared defaults; raises ArmError."""
    values: dict[str, Any] = dict(given)
    for name, parameter in cast("dict[str, Document]", declared).items():
        if name not in values:
            if "defaultValue" not in parameter:
                message = f"The pipeline parameter '{name}' has no value and no default."
                raise ArmError(400, "BadRequest", message)
            values[name] = parameter["defaultValue"]
    return values
