"""How the activities of a pipeline run: dependencies, conditions, loops, and the calls of a WebActivity.

Activities run one after another, where Data Factory runs independent ones side by side. An activity is entered again
after every pause of the run and after a restart: it keeps in the run's progress the values that it needs to continue.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from time import time
from typing import Final, Literal

from anew.emulator.base.cloud import timestamp
from anew.emulator.base.state import Document, section
from anew.emulator.data_factory.expressions import resolve
from anew.emulator.data_factory.functions import ExpressionError, to_text
from anew.emulator.data_factory.run import WAIT_SCALE, PipelineRun, RunInterruptedError, RunPausedError
from anew.emulator.data_factory.web import ActivityError, WebCaller

_UNTIL_SECONDS: Final = 7 * 24 * 3600.0
_LOOP_PAUSE_SECONDS: Final = 0.02

Status = Literal["Succeeded", "Failed", "Skipped"]


def activities_of(activities: Sequence[Document]) -> Iterator[Document]:
    """Every activity of a definition, including the nested ones."""
    for activity in activities:
        yield activity
        properties = section(activity, "typeProperties")
        for nested in ("activities", "ifTrueActivities", "ifFalseActivities"):
            yield from activities_of(properties.get(nested) or [])


def run_activities(run: PipelineRun, activities: Sequence[Document]) -> ActivityError | None:
    """Run activities in the order of their dependencies; returns the error that fails them together, if any.

    Raises RunPausedError as soon as one of them has to wait.
    """
    pending = list(activities)
    while pending:
        activity = next((each for each in pending if _dependencies(each) <= run.outcomes.keys()), None)
        if activity is None:
            names = ", ".join(each["name"] for each in pending)
            return ActivityError("BadRequest", f"Activities wait for each other or for unknown ones: {names}.")
        pending.remove(activity)
        if activity["name"] not in run.outcomes:
            run.check()
            run.finish(activity["name"], _attempt(run, activity))
    return _verdict(activities, run.outcomes)


def _dependencies(activity: Document) -> set[str]:
    return {dependency["activity"] for dependency in activity.get("dependsOn") or []}


def _conditions_met(activity: Document, outcomes: dict[str, Document]) -> bool:
    depends_on: list[Document] = activity.get("dependsOn") or []
    for dependency in depends_on:
        status = outcomes[dependency["activity"]]["status"]
        conditions: list[str] = dependency.get("dependencyConditions") or ["Succeeded"]
        if status not in conditions and not ("Completed" in conditions and status != "Skipped"):
            return False
    return True


def _verdict(activities: Sequence[Document], outcomes: dict[str, Document]) -> ActivityError | None:
    """Fail when a leaf failed; for a skipped leaf the activities before it decide, as in Data Factory."""
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
    progress = run.progress(activity["name"])
    if not _conditions_met(activity, run.outcomes):
        return _activity_run(run, activity, "Skipped")
    if (not_before := progress.get("not_before", 0.0)) > time():
        raise RunPausedError(not_before)
    ended = _execute(run, activity)
    policy = section(activity, "policy")
    if ended["status"] == "Succeeded" or progress["failures"] >= int(policy.get("retry", 0)):
        return ended
    interval = float(policy.get("retryIntervalInSeconds", 30)) * run.cloud.mode("wait_scale", WAIT_SCALE)
    not_before = time() + interval
    _forget(run, [activity])
    run.progress(activity["name"]).update(failures=progress["failures"] + 1, not_before=not_before)
    with run.cloud.store.transaction():
        run.record(ended)
        run.save()
    raise RunPausedError(not_before)


def _execute(run: PipelineRun, activity: Document) -> Document:
    given: Document = {}
    try:
        properties = section(activity, "typeProperties")
        handler = _CONTAINERS.get(activity["type"])
        if handler is None:
            properties = given = resolve(properties, run.scope())
            handler = _LEAVES[activity["type"]]
        output = handler(run, properties, run.progress(activity["name"]))
    except ExpressionError as error:
        failure = ActivityError("InvalidTemplate", f"{error}").document(activity["name"])
        return _activity_run(run, activity, "Failed", given=given, error=failure)
    except ActivityError as error:
        if run.stopping.is_set():
            # Local Azure stops, so its services do not answer: this is no failure of the pipeline.
            raise RunInterruptedError from error
        return _activity_run(run, activity, "Failed", given=given, error=error.document(activity["name"]))
    return _activity_run(run, activity, "Succeeded", given=given, output=output)


def _activity_run(
    run: PipelineRun,
    activity: Document,
    status: Status,
    *,
    given: Document | None = None,
    output: Document | None = None,
    error: Document | None = None,
) -> Document:
    progress, ended = run.progress(activity["name"]), timestamp()
    elapsed = datetime.fromisoformat(ended) - datetime.fromisoformat(progress["started"])
    nothing = {"errorCode": "", "message": "", "failureType": "", "target": activity["name"], "details": ""}
    return {
        "pipelineName": run.document["run"]["pipelineName"],
        "pipelineRunId": run.run_id,
        "activityName": activity["name"],
        "activityType": activity["type"],
        "activityRunId": progress["id"],
        "linkedServiceName": "",
        "status": status,
        "activityRunStart": progress["started"],
        "activityRunEnd": ended,
        "durationInMs": int(elapsed.total_seconds() * 1000),
        "input": given or {},
        "output": output or {},
        "error": error or nothing,
    }


def _forget(run: PipelineRun, activities: Sequence[Document]) -> None:
    for activity in activities_of(activities):
        run.forget(activity["name"])


def _inner(run: PipelineRun, activities: Sequence[Document]) -> None:
    error = run_activities(run, activities)
    if error is not None:
        raise ActivityError(error.code, f"Activity failed because an inner activity failed; {error}", error.kind)


def _until(run: PipelineRun, properties: Document, progress: Document) -> Document:
    inner: list[Document] = properties.get("activities") or []
    deadline: float = progress.setdefault("deadline", time() + duration_seconds(properties.get("timeout")))
    _inner(run, inner)
    progress["iterations"] = progress.get("iterations", 0) + 1
    if _boolean(run, properties):
        return {"iterationCount": progress["iterations"]}
    if time() >= deadline:
        raise ActivityError("2001", "The Until activity reached its timeout.")
    _forget(run, inner)
    raise RunPausedError(time() + _LOOP_PAUSE_SECONDS)


def _if_condition(run: PipelineRun, properties: Document, progress: Document) -> Document:
    # Decided once: an inner activity may change a variable of the expression.
    if "holds" not in progress:
        progress["holds"] = _boolean(run, properties)
    holds: bool = progress["holds"]
    _inner(run, properties.get("ifTrueActivities" if holds else "ifFalseActivities") or [])
    return {"result": holds}


def _boolean(run: PipelineRun, properties: Document) -> bool:
    value = resolve(properties["expression"], run.scope())
    if not isinstance(value, bool):
        raise ActivityError("BadRequest", f"The expression must be a Boolean, it is {to_text(value)!r}.")
    return value


def _wait(run: PipelineRun, properties: Document, progress: Document) -> Document:
    scale = run.cloud.mode("wait_scale", WAIT_SCALE)
    due: float = progress.setdefault("due", time() + float(properties["waitTimeInSeconds"]) * scale)
    if due > time():
        raise RunPausedError(due)
    return {}


def _fail(_: PipelineRun, properties: Document, __: Document) -> Document:
    raise ActivityError(to_text(properties.get("errorCode", "")), to_text(properties.get("message", "")))


def _set_variable(run: PipelineRun, properties: Document, _: Document) -> Document:
    name = properties["variableName"]
    if name not in run.document["variables"]:
        raise ActivityError("BadRequest", f"The variable '{name}' is not declared by the pipeline.")
    run.document["variables"][name] = properties["value"]
    return {"name": name, "value": properties["value"]}


def _web(run: PipelineRun, properties: Document, progress: Document) -> Document:
    # Saved before the call: after a crash before its record, the call is repeated under the same id.
    run.save()
    return run.cloud.service(WebCaller).call(properties, progress["id"])


def duration_seconds(text: str | None) -> float:
    """Seconds in a Data Factory time span, ``d.hh:mm:ss`` or ``hh:mm:ss``; seven days when there is none."""
    if text is None:
        return _UNTIL_SECONDS
    days, _, clock = text.rpartition(".")
    hours, minutes, seconds = (int(part) for part in clock.split(":"))
    return int(days or 0) * 86400.0 + hours * 3600 + minutes * 60 + seconds


_Handler = Callable[[PipelineRun, Document, Document], Document]
_CONTAINERS: Final[dict[str, _Handler]] = {"Until": _until, "IfCondition": _if_condition}
_LEAVES: Final[dict[str, _Handler]] = {
    "Fail": _fail,
    "SetVariable": _set_variable,
    "Wait": _wait,
    "WebActivity": _web,
}
ACTIVITY_TYPES: Final = frozenset(_CONTAINERS) | frozenset(_LEAVES)
