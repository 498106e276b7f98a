"""A Prefect server in memory: what it was told, and one flow run for an idempotency key."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from anew.core.events.event import Event
from anew.errors import PrefectUnavailable


@dataclass(frozen=True, slots=True)
class StartedRun:
    """A flow run that was asked for."""

    id: str
    deployment: str
    idempotency_key: str
    parameters: Mapping[str, Any]


@dataclass(slots=True)
class MemoryFlows:
    """`Flows` without a server. While `down` it raises PrefectUnavailable, as the real one does."""

    down: bool = False
    hints: list[Event] = field(default_factory=list[Event])
    runs: list[StartedRun] = field(default_factory=list[StartedRun])

    def hint(self, event: Event) -> None:
        self._reach()
        self.hints.append(event)

    def start(self, deployment: str, idempotency_key: str, parameters: Mapping[str, Any]) -> str:
        self._reach()
        # Prefect's key is unique for a flow, not for a deployment.
        flow = deployment.partition("/")[0]
        for run in self.runs:
            if run.idempotency_key == idempotency_key and run.deployment.partition("/")[0] == flow:
                return run.id
        run = StartedRun(f"run-{len(self.runs) + 1}", deployment, idempotency_key, dict(parameters))
        self.runs.append(run)
        return run.id

    def _reach(self) -> None:
        if self.down:
            raise PrefectUnavailable("Prefect is switched off", advice="Run: prefect server start")
