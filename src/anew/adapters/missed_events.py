"""What events should have told us, asked of Azure: v1 drift from Log Analytics, v2 breaches from monitor runs.

Each finding is written in the shape of the event that would have announced it and goes through the same parser,
so that it gets the same key, and a late event finds it known.
"""

from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime
from typing import Any

from azure.ai.ml import MLClient
from azure.ai.ml.entities import Job

from anew.adapters.azure_errors import translated
from anew.adapters.log_analytics import DRIFT_QUERY, LogAnalytics
from anew.core.event_parsing import parse_event
from anew.core.events import Cause, Event, EventType, Workspace
from anew.errors import AzureRefused


class AzureMissedEvents:
    """Implements MissedEvents."""

    def __init__(self, logs: LogAnalytics, client: Callable[[], MLClient], workspace: Workspace) -> None:
        self._logs = logs
        self._client = client
        self._workspace = workspace

    def drift(self, monitors: Collection[str], since: datetime, now: datetime) -> list[Event]:
        watched = frozenset(name.casefold() for name in monitors)
        found = [*self._dataset_drift(since, now), *self._breaches(watched, since)]
        parsed = [parse_event(raw) for raw in found]
        return [event for event in parsed if isinstance(event, Event) and event.cause is Cause.DRIFT]

    def _dataset_drift(self, since: datetime, now: datetime) -> Iterator[dict[str, Any]]:
        try:
            frame = self._logs.frame(DRIFT_QUERY, None, now - since, now)
        except AzureRefused:
            # No Log Analytics workspace, or no such table in it: then there are no v1 monitors to hear of.
            return
        for row in frame.to_dict("records"):
            yield self._envelope(
                EventType.DATASET_DRIFT_DETECTED,
                f"datadrift/{row['monitor_id']}/run/{row['run_id']}",
                row["TimeGenerated"],
                {
                    "dataDriftId": row["monitor_id"],
                    "dataDriftName": row["monitor"],
                    "runId": row["run_id"],
                    "driftCoefficient": row["value"],
                    "startTime": row["start"] or None,
                    "endTime": row["end_"] or None,
                },
            )

    def _breaches(self, watched: frozenset[str], since: datetime) -> Iterator[dict[str, Any]]:
        with translated("list monitor runs"):
            for root in self._client().jobs.list():
                if _created(root) and _created(root) < since:
                    return  # newest first
                if _is_monitor(root, watched):
                    for run in (root, *self._client().jobs.list(parent_job_name=root.name)):
                        yield self._run_event(run, str(root.experiment_name))

    def _run_event(self, run: Job, experiment: str) -> dict[str, Any]:
        # A child comes from run history, which knows its experiment by an id; the root has the name.
        return self._envelope(
            EventType.RUN_STATUS_CHANGED,
            f"experiments/{experiment}/runs/{run.name}",
            _created(run) or datetime.now(UTC),
            {
                "runId": run.name,
                "runStatus": run.status,
                "experimentName": experiment,
                "runTags": dict(run.tags or {}),
            },
        )

    def _envelope(self, kind: EventType, subject: str, time: datetime, data: dict[str, Any]) -> dict[str, Any]:
        return {
            "topic": self._workspace.arm_id,
            "eventType": kind,
            "subject": subject,
            "eventTime": time.isoformat(),
            "id": f"reconcile/{subject}",
            "data": data,
        }


def _is_monitor(job: Job, watched: frozenset[str]) -> bool:
    # A policy may name the monitor or one of its signals, and signals are named after their monitor
    # (`{monitor}_{signal}`), so either may contain the other.
    names = {str(job.experiment_name or "").casefold(), str(job.display_name or "").casefold()} - {""}
    return any(name in monitor or monitor in name for name in names for monitor in watched)


def _created(job: Job) -> Any:
    context = job.creation_context
    return context.created_at if context else None
