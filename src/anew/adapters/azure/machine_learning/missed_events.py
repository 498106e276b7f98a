"""Events that were missed, found by asking Azure: v1 drift in Log Analytics, v2 breaches and completions in runs.

Each finding is written as the event that should have reported it, and goes through the same parser. So it gets the same
key, and a late event is recognised.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from threading import Lock
from typing import Any

from azure.ai.ml import MLClient
from azure.ai.ml.entities import Job

from anew.adapters.azure.errors import translated
from anew.adapters.azure.machine_learning.root_runs import RootRuns, created, has_ended, is_in_experiment, is_monitor
from anew.adapters.azure.monitor.log_analytics import DRIFT_QUERY, LogAnalytics
from anew.core.events.event import Cause, Event, EventType, Workspace
from anew.core.events.parsing import parse_event
from anew.errors import AzureNotFound, AzureRefused

_REMEMBERED = 5000  # monitor runs
_LOGGED_BEFORE = timedelta(days=1)  # the time of a logged metric may differ from that of its event


class AzureMissedEvents:
    """Implements MissedEvents."""

    def __init__(
        self,
        logs: LogAnalytics,
        client: Callable[[], MLClient],
        workspace: Workspace,
        experiment_id: Callable[[str], str | None],
    ) -> None:
        self._logs = logs
        self._client = client
        self._workspace = workspace
        self._monitors = RootRuns(is_monitor)
        self._claimable = RootRuns(is_in_experiment)
        self._turn = Lock()  # flows run in threads of one process
        self._ended: dict[str, list[dict[str, Any]]] = {}
        self._experiment_id = lru_cache(maxsize=1000)(experiment_id)

    def drift(self, monitors: Collection[str], since: datetime, now: datetime) -> list[Event]:
        watched = frozenset(name.casefold() for name in monitors)
        found = [*self._dataset_drift(since, now), *self._breaches(watched, since)]
        parsed = [parse_event(raw) for raw in found]
        return [event for event in parsed if isinstance(event, Event) and event.cause is Cause.DRIFT]

    def completed(self, experiments: Collection[str], since: datetime, now: datetime) -> list[Event]:
        with translated("list completed runs"), self._turn:
            roots = self._claimable.look(iter(self._client().jobs.list()), self._run, frozenset(experiments), since)
        completed = (root for root in roots if root.status == "Completed")
        parsed = (parse_event(self._run_event(root, str(root.experiment_name))) for root in completed)
        return [event for event in parsed if isinstance(event, Event) and event.cause is Cause.RUN_COMPLETED]

    def confirm(self, events: Sequence[Event], now: datetime) -> Mapping[str, Event]:
        v1 = {event.key: event for event in events if event.type == EventType.DATASET_DRIFT_DETECTED}
        confirmed = self._confirmed_v1(v1, now) if v1 else {}
        for event in events:
            if event.key not in v1 and (found := self._confirmed_run(event)) is not None:
                confirmed[event.key] = found
        return confirmed

    def _confirmed_v1(self, claimed: Mapping[str, Event], now: datetime) -> dict[str, Event]:
        if not self._logs.has_workspace:
            # Without its metrics we can only check that the run of a v1 monitor exists.
            return {key: event for key, event in claimed.items() if self._run(event.run_id or "") is not None}
        since = min(event.time for event in claimed.values()) - _LOGGED_BEFORE
        logged = [parse_event(raw) for raw in self._dataset_drift(min(since, now), now)]
        return {event.key: event for event in logged if isinstance(event, Event) and event.key in claimed}

    def _confirmed_run(self, claimed: Event) -> Event | None:
        run = self._run(claimed.run_id or "")
        if run is None:
            return None
        event = parse_event(self._run_event(run, self._experiment_of(run, claimed.experiment)))
        return event if isinstance(event, Event) and event.key == claimed.key else None

    def _run(self, name: str) -> Job | None:
        try:
            with translated(f"read run {name}"):
                return self._client().jobs.get(name)
        except AzureNotFound:
            return None

    def _experiment_of(self, run: Job, claimed: str | None) -> str:
        # The experiment's name in an event is unverified too: it could make one monitor's breach look like another's.
        # A child run has the id of its experiment.
        known = str(run.experiment_name or "")
        if claimed is None or claimed == known:
            return known
        return claimed if self._experiment_id(claimed) == known else known

    def _dataset_drift(self, since: datetime, now: datetime) -> Iterator[dict[str, Any]]:
        try:
            frame = self._logs.frame(DRIFT_QUERY, None, now - since, now)
        except AzureRefused:
            # There is no Log Analytics workspace, or it has no such table: then there are no v1 monitors.
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
        with translated("list monitor runs"), self._turn:
            for root in self._monitors.look(iter(self._client().jobs.list()), self._run, watched, since):
                yield from self._events_of(root)

    def _events_of(self, root: Job) -> list[dict[str, Any]]:
        """The events of a monitor's run and its steps. A run that has ended is read only once, as it cannot change."""
        known = self._ended.get(str(root.name))
        if known is None:
            runs = (root, *self._client().jobs.list(parent_job_name=root.name))
            known = [self._run_event(run, str(root.experiment_name)) for run in runs]
            if has_ended(root):
                self._ended[str(root.name)] = known
                while len(self._ended) > _REMEMBERED:
                    self._ended.pop(next(iter(self._ended)))
        return known

    def _run_event(self, run: Job, experiment: str) -> dict[str, Any]:
        # A child comes from run history, which has only the id of its experiment; the root has the name.
        return self._envelope(
            EventType.RUN_STATUS_CHANGED,
            f"experiments/{experiment}/runs/{run.name}",
            created(run) or datetime.now(UTC),
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
