"""A Prefect server in memory: its flow runs, hints and forms."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from anew.core.events.event import Event
from anew.core.retrainings.lifecycle import Retraining
from anew.errors import PrefectUnavailable


@dataclass(frozen=True, slots=True)
class StartedRun:
    """A flow run that was started."""

    id: str
    deployment: str
    idempotency_key: str
    parameters: Mapping[str, Any]


@dataclass(slots=True)
class MemoryFlows:
    """Implements Flows. While `down`, it raises PrefectUnavailable as the real server does."""

    down: bool = False
    hints: list[Event] = field(default_factory=list[Event])
    runs: list[StartedRun] = field(default_factory=list[StartedRun])

    def hint(self, event: Event) -> None:
        _refuse_if(self.down)
        self.hints.append(event)

    def start(self, deployment: str, idempotency_key: str, parameters: Mapping[str, Any]) -> str:
        _refuse_if(self.down)
        # Prefect's key is unique for a flow, not for a deployment.
        flow = deployment.partition("/")[0]
        for run in self.runs:
            if run.idempotency_key == idempotency_key and run.deployment.partition("/")[0] == flow:
                return run.id
        run = StartedRun(f"run-{len(self.runs) + 1}", deployment, idempotency_key, dict(parameters))
        self.runs.append(run)
        return run.id


@dataclass(slots=True)
class MemoryForms:
    """Implements Forms. `forms` has the retraining of each form, `ended` the forms that were filled in or withdrawn."""

    down: bool = False
    forms: dict[str, str] = field(default_factory=dict[str, str])
    ended: set[str] = field(default_factory=set[str])

    def unfinished(self) -> Mapping[str, str]:
        _refuse_if(self.down)
        return {form: about for form, about in self.forms.items() if form not in self.ended}

    def ask(self, retraining: Retraining) -> None:
        _refuse_if(self.down)
        self.forms[f"form-{retraining.id}-{retraining.state_since.isoformat()}"] = retraining.id

    def withdraw(self, form: str, why: str) -> None:
        _refuse_if(self.down)
        self.ended.add(form)


def _refuse_if(down: bool) -> None:
    if down:
        raise PrefectUnavailable("Prefect is switched off", advice="Run: prefect server start")
