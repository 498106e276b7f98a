"""How the activities of a pipeline run: dependencies, conditions, loops, and the calls a WebActivity makes.

Activities run one after another, where Data Factory runs independent ones side by side. Each finished activity is
kept on the run's document, so that a run which a restart cut short continues after the last one.
"""

import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic
from typing import Any, Final, Literal, cast

from anew.emulator.adf_expressions import ExpressionError, Scope, resolve, to_text
from anew.emulator.adf_web import ActivityError, call_web
from anew.emulator.cloud import Cloud, timestamp
from anew.emulator.state import Document

RUNS: Final = "pipeline_run"
ACTIVITY_RUNS: Final = "activity_run"
WAIT_SCALE: Final = 0.02
_UNTIL_SECONDS: Final = 7 * 24 * 3600.0
_LOOP_PAUSE_SECONDS: Final = 0.02

Status = Literal["Succeeded", "Failed", "Skipped"]


class RunCancelledError(Exception):
    """Someone cancelled the run."""


class RunInterruptedError(Exception):
    """Local Azure is stopping; the run continues when it starts again."""


@dataclass
class PipelineRun:
    """A run while it executes: its document, which is what survives, and the signals that end it early."""

    cloud: Cloud
    key: str
    document: Document
    cancelled: threading.Event = field(default_factory=threading.Event)
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def run_id(self) -> str:
        """The id Data Factory gave the run."""
        return self.document["run"]["runId"]

    @property
    def outcomes(self) -> dict[str, Document]:
        """What each finished activity came to, by name: status, output and error."""
        return self.document["outcomes"]

    def scope(self) -> Scope:
        """What expressions of this run may look at now."""
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

    def update(self, **changes: Any) -> None:
        """Change the run as clients see it and write its document."""
        self.document["run"] |= {**changes, "lastUpdated": timestamp()}
        self.save()

    def save(self) -> None:
        """Write the run's document; a run asked to stop stays Cancelling until it has ended."""
        with self.cloud.store.locked():
            if self.cancelled.is_set() and self.document["run"]["runEnd"] is None:
                self.document["run"]["status"] = "Cancelling"
            self.cloud.store.put(RUNS, self.key, self.document)

    def pause(self, seconds: float) -> None:
        """Wait, or raise RunCancelledError or RunInterruptedError as soon as the run has to end."""
        deadline = monotonic() + seconds
        while not self.stopping.is_set():
            if self.cancelled.wait(min(0.05, max(0.0, deadline - monotonic()))):
                raise RunCancelledError
            if monotonic() >= deadline:
                return
        raise RunInterruptedError


def activities_of(activities: Sequence[Document]) -> Iterator[Document]:
    """Every activity of a definition, the nested ones included."""
    for activity in activities:
        yield activity
        properties: Document = activity.get("typeProperties") or {}
        for nested in ("activities", "ifTrueActivities", "ifFalseActivities"):
            yield from activities_of(properties.get(nested) or [])


def run_activities(run: PipelineRun, activities: Sequence[Document]) -> ActivityError | None:
    """Run activities in the order their dependencies ask for; the error that fails them as a whole, if any."""
    pending = list(activities)
    while pending:
        activity = next((each for each in pending if _dependencies(each) <= run.outcomes.keys()), None)
        if activity is None:
            names = ", ".join(each["name"] for each in pending)
            return ActivityError("BadRequest", f"Activities wait for each other or for unknown ones: {names}.")
        pending.remove(activity)
        if activity["name"] not in run.outcomes:
            run.pause(0)
            run.outcomes[activity["name"]] = _attempt(run, activity)
            run.save()
    return _verdict(activities, run.outcomes)


def _dependencies(activity: Document) -> set[str]:
    return {dependency["activity"] for dependency in _depends_on(activity)}


def _depends_on(activity: Document) -> list[Document]:
    return activity.get("dependsOn") or []


def _conditions_met(activity: Document, outcomes: dict[str, Document]) -> bool:
    for dependency in _depends_on(activity):
        status = outcomes[dependency["activity"]]["status"]
        conditions: list[str] = dependency.get("dependencyConditions") or ["Succeeded"]
        if status not in conditions and not ("Completed" in conditions and status != "Skipped"):
            return False
    return True


def _verdict(activities: Sequence[Document], outcomes: dict[str, Document]) -> ActivityError | None:
    """Fail when a leaf failed; a skipped leaf is judged by what it depends on, as Data Factory does."""
    by_name = {activity["name"]: activity for activity in activities}
    depended_on = set[str]().union(*(_dependencies(activity) for activity in activities))
    to_judge = [name for name in by_name if name not in depended_on]
    while to_judge:
        name = to_judge.pop(0)
        outcome = outcomes[name]
        if outcome["status"] == "Failed":
            error = outcome["error"]
            message = f"Operation on target {name} failed: {error['message']}"
            return ActivityError(error["errorCode"], message, error["failureType"])
        if outcome["status"] == "Skipped":
            to_judge.extend(sorted(_dependencies(by_name[name])))
    return None


def _attempt(run: PipelineRun, activity: Document) -> Document:
    if not _conditions_met(activity, run.outcomes):
        return _record(run, activity, "Skipped", started=timestamp(), given={}, output={})
    policy: Document = activity.get("policy") or {}
    retries = int(policy.get("retry", 0))
    interval = float(policy.get("retryIntervalInSeconds", 30)) * run.cloud.mode("wait_scale", WAIT_SCALE)
    while (outcome := _execute(run, activity))["status"] == "Failed" and retries > 0:
        retries -= 1
        run.pause(interval)
    return outcome


def _execute(run: PipelineRun, activity: Document) -> Document:
    started, given = timestamp(), cast(Document, {})
    try:
        properties: Document = activity.get("typeProperties") or {}
        handler = _CONTAINERS.get(activity["type"])
        if handler is None:
            properties = given = resolve(properties, run.scope())
            handler = _LEAVES[activity["type"]]
        output = handler(run, properties)
    except ExpressionError as error:
        failure = ActivityError("InvalidTemplate", f"{error}").document(activity["name"])
        return _record(run, activity, "Failed", started=started, given=given, output={}, error=failure)
    except ActivityError as error:
        if run.stopping.is_set():
            # Local Azure stops: that its services no longer answer is not the pipeline's failure.
            raise RunInterruptedError from error
        failure = error.document(activity["name"])
        return _record(run, activity, "Failed", started=started, given=given, output={}, error=failure)
    return _record(run, activity, "Succeeded", started=started, given=given, output=output)


def _record(
    run: PipelineRun,
    activity: Document,
    status: Status,
    *,
    started: str,
    given: Document,
    output: Document,
    error: Document | None = None,
) -> Document:
    activity_run_id = str(uuid.uuid4())
    ended = timestamp()
    elapsed = datetime.fromisoformat(ended) - datetime.fromisoformat(started)
    failure = error or {"errorCode": "", "message": "", "failureType": "", "target": activity["name"], "details": ""}
    wire: Document = {
        "pipelineName": run.document["run"]["pipelineName"],
        "pipelineRunId": run.run_id,
        "activityName": activity["name"],
        "activityType": activity["type"],
        "activityRunId": activity_run_id,
        "linkedServiceName": "",
        "status": status,
        "activityRunStart": started,
        "activityRunEnd": ended,
        "durationInMs": int(elapsed.total_seconds() * 1000),
        "input": given,
        "output": output,
        "error": failure,
    }
    run.cloud.store.put(ACTIVITY_RUNS, f"{run.key}/{activity_run_id}", wire)
    return {"status": status, "output": output, "error": failure}


def _forget(run: PipelineRun, activities: Sequence[Document]) -> None:
    for activity in activities_of(activities):
        run.outcomes.pop(activity["name"], None)


def _inner(run: PipelineRun, activities: Sequence[Document]) -> None:
    _forget(run, activities)
    error = run_activities(run, activities)
    if error is not None:
        raise ActivityError(error.code, f"Activity failed because an inner activity failed; {error}", error.kind)


def _until(run: PipelineRun, properties: Document) -> Document:
    deadline = monotonic() + duration_seconds(properties.get("timeout"))
    iterations = 0
    while True:
        _inner(run, properties.get("activities") or [])
        iterations += 1
        if _boolean(run, properties):
            return {"iterationCount": iterations}
        if monotonic() >= deadline:
            raise ActivityError("2001", "The Until activity reached its timeout.")
        run.pause(_LOOP_PAUSE_SECONDS)


def _if_condition(run: PipelineRun, properties: Document) -> Document:
    holds = _boolean(run, properties)
    _inner(run, properties.get("ifTrueActivities" if holds else "ifFalseActivities") or [])
    return {"result": holds}


def _boolean(run: PipelineRun, properties: Document) -> bool:
    value = resolve(properties["expression"], run.scope())
    if not isinstance(value, bool):
        raise ActivityError("BadRequest", f"The expression must be a Boolean, it is {to_text(value)!r}.")
    return value


def _wait(run: PipelineRun, properties: Document) -> Document:
    run.pause(float(properties["waitTimeInSeconds"]) * run.cloud.mode("wait_scale", WAIT_SCALE))
    return {}


def _fail(_: PipelineRun, properties: Document) -> Document:
    raise ActivityError(to_text(properties.get("errorCode", "")), to_text(properties.get("message", "")))


def _set_variable(run: PipelineRun, properties: Document) -> Document:
    name = properties["variableName"]
    if name not in run.document["variables"]:
        raise ActivityError("BadRequest", f"The variable '{name}' is not declared by the pipeline.")
    run.document["variables"][name] = properties["value"]
    return {"name": name, "value": properties["value"]}


def _web(run: PipelineRun, properties: Document) -> Document:
    return call_web(run.cloud, properties)


def duration_seconds(text: str | None) -> float:
    """Seconds in a Data Factory time span, ``d.hh:mm:ss`` or ``hh:mm:ss``; seven days when there is none."""
    if text is None:
        return _UNTIL_SECONDS
    days, _, clock = text.rpartition(".")
    hours, minutes, seconds = (int(part) for part in clock.split(":"))
    return int(days or 0) * 86400.0 + hours * 3600 + minutes * 60 + seconds


_Handler = Callable[[PipelineRun, Document], Document]
_CONTAINERS: Final[dict[str, _Handler]] = {"Until": _until, "IfCondition": _if_condition}
_LEAVES: Final[dict[str, _Handler]] = {
    "Fail": _fail,
    "SetVariable": _set_variable,
    "Wait": _wait,
    "WebActivity": _web,
}
ACTIVITY_TYPES: Final = frozenset(_CONTAINERS) | frozenset(_LEAVES)
